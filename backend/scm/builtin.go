package scm

// builtin are the factories of the readers that need nothing but net/http.
func builtin() []ReaderFactory {
	return []ReaderFactory{
		routes(KindAzure, newAzureReader),
		routes(KindBitbucketCloud, newBitbucketCloudReader),
		routes(KindBitbucketServer, newBitbucketServerReader),
		routes(KindGerrit, newGerritReader),
		routes(KindGitHub, newGitHubReader),
		routes(KindGitea, newGiteaReader),
		routes(KindHarness, newHarnessReader),
		routes(KindGitLab, newGitLabReader),
		routes(KindGoogleGCS, newGCSReader),
		routes(KindAzureBlob, newAzureBlobReader),
	}
}
