package remote

import "testing"

func TestURLSaysWhetherRedisIsACluster(t *testing.T) {
	for url, want := range map[string]bool{
		"redis://a:6379": false, "redis://:x@a:6379/2": false, "unix:///run/redis.sock": false, "rediss://a:6379?cluster=false": false,
		"redis://a:6379?addr=b:6379": true, "rediss://:x@a:6379?addr=b:1&addr=c:2": true, "redis://a:6379?cluster=true": true,
	} {
		if _, cluster := clusterURL(url); cluster != want {
			t.Errorf("%s: cluster is %t, want %t", url, cluster, want)
		}
		r, err := Open(Config{URL: url}, nil)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}
