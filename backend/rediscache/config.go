package rediscache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/callboard-dev/callboard/backend"
	"github.com/callboard-dev/callboard/backend/config"
)

// Config is what is read here of backend.cache.
type Config struct {
	Store      string     `config:"store" doc:"memory, redis or valkey"`
	Connection Connection `config:"connection" doc:"URL of the server, or {url}; rediss:// for TLS"`
	Redis      struct {
		Client  Client  `config:"client"`
		Cluster Cluster `config:"cluster"`
	} `config:"redis"`
	Valkey struct {
		Client  ValkeyClient `config:"client"`
		Cluster Cluster      `config:"cluster"`
	} `config:"valkey"`
}

// defaults are the values of keys that are absent.
func defaults() Config {
	var c Config
	c.Redis.Client = Client{KeyPrefixSeparator: ":", UseUnlink: true}
	return c
}

// Client is backend.cache.redis.client.
type Client struct {
	Namespace          string `config:"namespace" doc:"what the keys of all plugins begin with"`
	KeyPrefixSeparator string `config:"keyPrefixSeparator" doc:"what separates the parts of a key"`
	UseUnlink          bool   `config:"useUnlink" doc:"delete with UNLINK, which frees memory in the background, instead of DEL"`
}

// ValkeyClient is backend.cache.valkey.client.
type ValkeyClient struct {
	KeyPrefix string `config:"keyPrefix" doc:"what the keys of all plugins begin with"`
}

// Cluster says that the server is a cluster, and how to reach it.
type Cluster struct {
	RootNodes []Node `config:"rootNodes" doc:"some nodes of the cluster, which know the others"`
	Defaults  struct {
		Username string        `config:"username" doc:"user name"`
		Password config.Secret `config:"password" doc:"password"`
	} `config:"defaults" doc:"what holds for nodes whose URL does not say it"`
	UseReplicas            bool `config:"useReplicas" doc:"read from replicas too"`
	MaxCommandRedirections int  `config:"maxCommandRedirections" doc:"how often a command may be sent on to another node"`
}

// Node is one node of a cluster.
type Node struct {
	URL config.Secret `config:"url,required" doc:"URL of the node"`
}

// Connection is the URL of a server; it may hold a password.
type Connection struct{ URL config.Secret }

// ConfigShapes implements config.Shaper.
func (Connection) ConfigShapes() []any {
	return []any{struct {
		URL config.Secret `config:"url" doc:"URL of the server"`
	}{}}
}

// UnmarshalConfig accepts text, and an object with the key url.
func (c *Connection) UnmarshalConfig(cfg *config.Config) error {
	if _, ok := cfg.Value("").(string); ok {
		return cfg.Decode("", &c.URL)
	}
	var v struct {
		URL config.Secret `config:"url,required"`
	}
	if err := cfg.Decode("", &v); err != nil {
		return err
	}
	c.URL = v.URL
	return nil
}

// openCache opens the store that backend.cache describes. Nothing connects yet.
func openCache(cfg *config.Config, _ *slog.Logger) (backend.CacheStore, error) {
	c := defaults()
	if err := cfg.Decode("", &c); err != nil {
		return nil, err
	}
	s := &Store{breaker: breaker{now: time.Now}, separator: c.Redis.Client.KeyPrefixSeparator, unlink: c.Redis.Client.UseUnlink}
	cluster := c.Redis.Cluster
	if s.prefix = c.Redis.Client.Namespace; s.prefix != "" {
		s.prefix += s.separator
	}
	clusterKey := "backend.cache.redis.cluster"
	if c.Store == "valkey" {
		clusterKey = "backend.cache.valkey.cluster"
		s.prefix, s.separator, s.unlink, cluster = c.Valkey.Client.KeyPrefix, ":", true, c.Valkey.Cluster
	}
	var err error
	if len(cluster.RootNodes) > 0 {
		s.client, err = connectCluster(cluster, clusterKey)
	} else if s.client, err = connect(c.Connection.URL); err != nil {
		err = config.At("backend.cache.connection", err)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// retries is how often a command or a connection is tried again: whoever has no cache
// asks the source, which is better than to wait.
const retries = 1

// silence turns off the log that go-redis has of its own, for all of a process, on
// standard error. What goes wrong comes back as an error, and is logged once.
var silence = sync.OnceFunc(func() { redis.SetLogger(noLog{}) })

type noLog struct{}

// Printf implements go-redis' logger.
func (noLog) Printf(context.Context, string, ...any) {}

// connect returns a client, which connects when it is used.
func connect(url config.Secret) (redis.UniversalClient, error) {
	silence()
	if url.IsZero() {
		return nil, errors.New("required key is missing")
	}
	o, err := parse(url)
	if err != nil {
		return nil, err
	}
	o.MaxRetries, o.DialerRetries, o.ContextTimeoutEnabled = retries, retries, true
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = answerTime, answerTime, answerTime, answerTime
	return redis.NewClient(o), nil
}

// connectCluster is connect for a cluster, which is configured at key.
func connectCluster(cluster Cluster, key string) (redis.UniversalClient, error) {
	silence()
	out := &redis.ClusterOptions{
		Username: cluster.Defaults.Username, Password: cluster.Defaults.Password.Reveal(),
		ReadOnly: cluster.UseReplicas, MaxRedirects: cluster.MaxCommandRedirections,
		DialerRetries: retries, ContextTimeoutEnabled: true,
		DialTimeout: answerTime, ReadTimeout: answerTime, WriteTimeout: answerTime, PoolTimeout: answerTime,
	}
	for i, n := range cluster.RootNodes {
		o, err := parse(n.URL)
		if err != nil {
			return nil, config.At(fmt.Sprintf("%s.rootNodes[%d].url", key, i), err)
		}
		out.Addrs = append(out.Addrs, o.Addr)
		if o.Username != "" || o.Password != "" {
			out.Username, out.Password = o.Username, o.Password
		}
		if o.TLSConfig != nil {
			out.TLSConfig = o.TLSConfig
		}
	}
	return redis.NewClusterClient(out), nil
}

// parse reads redis://user:password@host:port/database, or rediss:// for TLS. Its error
// does not repeat the URL, which may hold a password.
func parse(url config.Secret) (*redis.Options, error) {
	o, err := redis.ParseURL(url.Reveal())
	if err != nil {
		return nil, errors.New("expected a URL such as redis://user:password@host:6379, or rediss:// for TLS")
	}
	return o, nil
}
