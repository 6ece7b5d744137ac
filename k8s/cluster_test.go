package k8s

import (
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
)

// cluster is one that somebody has named by KUBECONFIG and in which `make kind`, Tilt or a kubectl has put the kind overlay.
type cluster struct{}

// openCluster skips the test unless it was asked for and there is a cluster with Strata in it. It never takes the default
// configuration: the tests restart what runs there.
func openCluster(t *testing.T) cluster {
	t.Helper()
	switch {
	case os.Getenv("STRATA_CLUSTER_CHECK") == "":
		t.Skip("only `make kind-check` looks into a cluster")
	case os.Getenv("KUBECONFIG") == "":
		t.Skip("KUBECONFIG names no cluster; nothing was checked")
	}
	if _, err := exec.LookPath("kubectl"); err != nil {
		t.Skip("kubectl is not installed; nothing was checked")
	}
	if out, err := exec.CommandContext(t.Context(), "kubectl", "--namespace=strata", "--request-timeout=10s", "get", "deployment/strata").CombinedOutput(); err != nil {
		t.Skipf("the cluster of KUBECONFIG has no Strata in it, or does not answer (make kind puts it there); nothing was checked: %s", strings.TrimSpace(string(out)))
	}
	return cluster{}
}

func (cluster) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	return run(t, ".", "kubectl", append([]string{"--namespace=strata"}, args...)...)
}

// try is kubectl with a file on its standard input, which may fail.
func (cluster) try(t *testing.T, input string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "kubectl", append([]string{"--namespace=strata"}, args...)...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	return withoutWarnings(string(out)), err
}

// withoutWarnings leaves out what kubectl says by the way: who applied an object before, or what a later version will refuse.
func withoutWarnings(said string) string {
	var kept strings.Builder
	for line := range strings.Lines(said) {
		if !strings.HasPrefix(line, "Warning: ") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

func TestWarningsOfKubectlAreNoFaults(t *testing.T) {
	said := "Warning: resource jobs/seed is missing the annotation\nservice/strata serverside-applied\nError: no\n"
	if got := withoutWarnings(said); got != "service/strata serverside-applied\nError: no\n" {
		t.Errorf("kept %q", got)
	}
}

func get[T any](t *testing.T, c cluster, what ...string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(c.kubectl(t, append([]string{"get", "--output=json"}, what...)...)), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestClusterAcceptsEveryManifest(t *testing.T) {
	c := openCluster(t)
	out, err := c.try(t, manifestsOf(t, "kind"), "apply", "--server-side", "--force-conflicts", "--dry-run=server", "--filename=-")
	for line := range strings.Lines(out) {
		// The templates of Jobs that ran with another image cannot be changed, and need not be.
		if !strings.Contains(line, "serverside-applied") && !strings.Contains(line, "field is immutable") {
			t.Errorf("%s", strings.TrimSpace(line))
		}
	}
	if err != nil && !t.Failed() {
		t.Logf("Jobs that ran are not replaced: %v", err)
	}
}

func TestClusterRefusesAPodWithoutManners(t *testing.T) {
	c := openCluster(t)
	rude := "apiVersion: v1\nkind: Pod\nmetadata: {name: rude, namespace: strata}\nspec: {containers: [{name: rude, image: rude:1}]}\n"
	if out, err := c.try(t, rude, "create", "--dry-run=server", "--filename=-"); err == nil || !strings.Contains(out, `violates PodSecurity "restricted`) {
		t.Errorf("a Pod as root: %v\n%s", err, out)
	}
}

// TestClusterLosesNoRequest restarts and removes replicas while k6 reads and writes inside of the cluster.
func TestClusterLosesNoRequest(t *testing.T) {
	c := openCluster(t)
	c.kubectl(t, "rollout", "status", "deployment/strata", "--timeout=3m")
	load := exec.CommandContext(t.Context(), "overlays/kind/load.sh", "smoke")
	load.Env = append(os.Environ(), "DURATION=2m", "RATE=30", "WRITES=0.05",
		"KUBE_CONTEXT="+strings.TrimSpace(c.kubectl(t, "config", "current-context")))
	var out strings.Builder
	load.Stdout, load.Stderr = &out, &out
	if err := load.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the Pod that makes load", func() bool {
		return strings.Contains(c.kubectl(t, "get", "pods", "--selector=app.kubernetes.io/name=k6", "--field-selector=status.phase=Running", "--output=name"), "pod/")
	})
	before := c.replicas(t)
	c.kubectl(t, "rollout", "restart", "deployment/strata")
	c.kubectl(t, "rollout", "status", "deployment/strata", "--timeout=3m")
	after := c.replicas(t)
	for _, name := range before {
		if slices.Contains(after, name) {
			t.Errorf("%s is still there after the restart", name)
		}
	}
	for _, name := range after {
		c.kubectl(t, "delete", "--wait=false", "pod/"+name)
		waitFor(t, "a replica in place of "+name, func() bool {
			d := get[appsv1.Deployment](t, c, "deployment/strata")
			return d.Status.AvailableReplicas == *d.Spec.Replicas && !slices.Contains(c.replicas(t), name)
		})
	}
	if running := c.kubectl(t, "get", "pods", "--selector=app.kubernetes.io/name=k6", "--field-selector=status.phase=Running", "--output=name"); running == "" {
		t.Error("the load was over before the last replica was: this cluster is too slow for the test")
	}
	err := load.Wait()
	t.Log(out.String())
	if err != nil {
		t.Errorf("clients noticed: %v", err)
	}
}

// replicas are the names of those that are not on their way out.
func (c cluster) replicas(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, p := range get[corev1.PodList](t, c, "pods", "--selector=app.kubernetes.io/name=strata").Items {
		if p.DeletionTimestamp == nil {
			names = append(names, p.Name)
		}
	}
	return names
}

func TestClusterScalesByProcessors(t *testing.T) {
	c := openCluster(t)
	waitFor(t, "the autoscaler to see processors (it needs metrics-server)", func() bool {
		return slices.ContainsFunc(get[autoscalingv2.HorizontalPodAutoscaler](t, c, "horizontalpodautoscaler/strata").Status.Conditions,
			func(condition autoscalingv2.HorizontalPodAutoscalerCondition) bool {
				return condition.Type == autoscalingv2.ScalingActive && condition.Status == corev1.ConditionTrue
			})
	})
}
