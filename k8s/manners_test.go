package k8s

import (
	"crypto/sha256"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// manner is what every Pod must have. spoil takes it away, so that a test can see that it would be missed.
type manner struct {
	says  string
	holds func(p pod) error
	spoil func(p *pod)
}

var manners = []manner{
	{
		"runs as somebody who is not root",
		func(p pod) error {
			if s := p.Spec.SecurityContext; s == nil || !isTrue(s.RunAsNonRoot) || s.RunAsUser == nil || *s.RunAsUser == 0 {
				return fmt.Errorf("runAsNonRoot and a runAsUser above 0 are missing")
			}
			return nil
		},
		func(p *pod) { p.Spec.SecurityContext.RunAsNonRoot = nil },
	}, {
		"has the runtime's seccomp profile",
		func(p pod) error {
			if s := p.Spec.SecurityContext; s == nil || s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
				return fmt.Errorf("seccompProfile is not RuntimeDefault")
			}
			return nil
		},
		func(p *pod) { p.Spec.SecurityContext.SeccompProfile = nil },
	}, {
		"cannot gain rights, and cannot write to its image",
		eachContainer(func(c corev1.Container) error {
			s := c.SecurityContext
			switch {
			case s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation:
				return fmt.Errorf("allowPrivilegeEscalation is not false")
			case s.Capabilities == nil || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(s.Capabilities.Add) > 0:
				return fmt.Errorf("capabilities are not dropped")
			case !isTrue(s.ReadOnlyRootFilesystem):
				return fmt.Errorf("readOnlyRootFilesystem is not true")
			case s.RunAsUser != nil || isTrue(s.Privileged) || s.SeccompProfile != nil:
				return fmt.Errorf("overrides the Pod")
			}
			return nil
		}),
		func(p *pod) { p.Spec.Containers[0].SecurityContext.ReadOnlyRootFilesystem = nil },
	}, {
		"shares nothing with its node",
		func(p pod) error {
			if p.Spec.HostNetwork || p.Spec.HostPID || p.Spec.HostIPC {
				return fmt.Errorf("shares the node's network or processes")
			}
			for _, v := range p.Spec.Volumes {
				if v.ConfigMap == nil && v.Projected == nil && v.EmptyDir == nil && v.Secret == nil && v.PersistentVolumeClaim == nil {
					return fmt.Errorf("volume %s is of a kind that is not expected here", v.Name)
				}
			}
			return nil
		},
		func(p *pod) { p.Spec.HostNetwork = true },
	}, {
		"has no token for the Kubernetes API",
		func(p pod) error {
			if p.Spec.AutomountServiceAccountToken == nil || *p.Spec.AutomountServiceAccountToken || p.Spec.ServiceAccountName != "strata" {
				return fmt.Errorf("automountServiceAccountToken is not false, or the account is not strata")
			}
			return nil
		},
		func(p *pod) { p.Spec.AutomountServiceAccountToken = nil },
	}, {
		"gets no variables about the Services around it",
		func(p pod) error {
			if p.Spec.EnableServiceLinks == nil || *p.Spec.EnableServiceLinks {
				return fmt.Errorf("enableServiceLinks is not false")
			}
			return nil
		},
		func(p *pod) { p.Spec.EnableServiceLinks = nil },
	}, {
		"says what it needs, and gets no more",
		eachContainer(func(c corev1.Container) error {
			for _, resource := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
				request, limit := c.Resources.Requests[resource], c.Resources.Limits[resource]
				if request.IsZero() || limit.IsZero() || request.Cmp(limit) > 0 {
					return fmt.Errorf("request and limit of %s: %v, %v", resource, &request, &limit)
				}
			}
			if limit := c.Resources.Limits[corev1.ResourceEphemeralStorage]; limit.IsZero() {
				return fmt.Errorf("may fill its node's disk: no limit of ephemeral-storage")
			}
			return nil
		}),
		func(p *pod) { delete(p.Spec.Containers[0].Resources.Limits, corev1.ResourceEphemeralStorage) },
	}, {
		"has an image of a version",
		eachContainer(func(c corev1.Container) error {
			if !regexp.MustCompile(`:[A-Za-z0-9._-]+(@sha256:[0-9a-f]{64})?$`).MatchString(c.Image) || strings.Contains(c.Image, ":latest") {
				return fmt.Errorf("image %s", c.Image)
			}
			return nil
		}),
		func(p *pod) { p.Spec.Containers[0].Image = "strata:latest" },
	}, {
		"carries the standard labels",
		func(p pod) error { return standardLabels(p.Labels) },
		func(p *pod) { delete(p.Labels, "app.kubernetes.io/part-of") },
	},
}

func isTrue(b *bool) bool { return b != nil && *b }

func eachContainer(holds func(corev1.Container) error) func(pod) error {
	return func(p pod) error {
		for _, c := range p.containers() {
			if err := holds(c); err != nil {
				return fmt.Errorf("container %s: %w", c.Name, err)
			}
		}
		return nil
	}
}

func standardLabels(labels map[string]string) error {
	for _, name := range []string{"name", "component", "part-of", "managed-by", "instance"} {
		if labels["app.kubernetes.io/"+name] == "" {
			return fmt.Errorf("the label app.kubernetes.io/%s is missing", name)
		}
	}
	return nil
}

func TestEveryPodHasManners(t *testing.T) {
	eachVariant(t, func(t *testing.T, objects []object) {
		for _, p := range pods(t, objects) {
			for _, m := range manners {
				if err := m.holds(p); err != nil {
					t.Errorf("%s: not every Pod %s: %v", p.owner, m.says, err)
				}
			}
		}
	})
}

func TestBadMannersAreNoticed(t *testing.T) {
	for _, m := range manners {
		t.Run(m.says, func(t *testing.T) {
			spoiled := strataPod(t, build(t, "kind"))
			m.spoil(&spoiled)
			if m.holds(spoiled) == nil {
				t.Error("nobody noticed")
			}
		})
	}
}

func strataPod(t *testing.T, objects []object) pod {
	t.Helper()
	return pod{"Deployment/strata", into[appsv1.Deployment](t, named(t, objects, "Deployment", "strata")).Spec.Template}
}

func TestTheNamespaceIsRestricted(t *testing.T) {
	eachVariant(t, func(t *testing.T, objects []object) {
		namespace := named(t, objects, "Namespace", "strata")
		labels := into[corev1.Namespace](t, namespace).Labels
		for _, mode := range []string{"enforce", "audit", "warn"} {
			if got := labels["pod-security.kubernetes.io/"+mode]; got != "restricted" {
				t.Errorf("%s is %q", mode, got)
			}
		}
		for _, o := range objects {
			if o.namespace != "strata" && o.kind != "Namespace" {
				t.Errorf("%s is in namespace %q", o, o.namespace)
			}
		}
	})
}

func TestNoReplicaIsLostDuringARollout(t *testing.T) {
	eachVariant(t, func(t *testing.T, objects []object) {
		d := into[appsv1.Deployment](t, named(t, objects, "Deployment", "strata"))
		if d.Spec.Replicas != nil {
			t.Error("the Deployment says a number of replicas: each apply would undo the HorizontalPodAutoscaler's")
		}
		if u := d.Spec.Strategy.RollingUpdate; u == nil || u.MaxUnavailable.IntValue() != 0 || u.MaxUnavailable.String() != "0" || u.MaxSurge.String() == "0" {
			t.Errorf("strategy is %+v, want maxUnavailable 0 and a surge", d.Spec.Strategy)
		}
		c := d.Spec.Template.Spec.Containers[0]
		if c.Lifecycle == nil || c.Lifecycle.PreStop == nil || c.Lifecycle.PreStop.Sleep == nil {
			t.Fatal("there is no preStop.sleep: requests would come to a replica that has stopped listening")
		}
		bounds := shutdownBounds(t)
		// The public port drains, then the admin port, then the spans go out.
		longest := time.Duration(c.Lifecycle.PreStop.Sleep.Seconds)*time.Second + bounds["drainWithin"] + 2*bounds["flushWithin"]
		grace := time.Duration(*d.Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second
		if bounds["drainWithin"] == 0 || bounds["flushWithin"] == 0 || longest >= grace {
			t.Errorf("an ordered shutdown takes up to %v (run.go: %v), the grace period is %v", longest, bounds, grace)
		}
	})
}

// shutdownBounds reads how long the phases of a shutdown may take from the service's source.
func shutdownBounds(t *testing.T) map[string]time.Duration {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../app/run.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	bounds := make(map[string]time.Duration)
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		if product, ok := spec.Values[0].(*ast.BinaryExpr); ok && product.Op == token.MUL {
			number, isNumber := product.X.(*ast.BasicLit)
			unit, isUnit := product.Y.(*ast.SelectorExpr)
			if isNumber && isUnit && unit.Sel.Name == "Second" {
				n, _ := strconv.Atoi(number.Value)
				bounds[spec.Names[0].Name] = time.Duration(n) * time.Second
			}
		}
		return true
	})
	return bounds
}

func TestProbesAskTheAdminPort(t *testing.T) {
	eachVariant(t, func(t *testing.T, objects []object) {
		c := strataPod(t, objects).Spec.Containers[0]
		for probe, want := range map[string]struct {
			got  *corev1.Probe
			path string
		}{
			"startup":   {c.StartupProbe, "/startupz"},
			"readiness": {c.ReadinessProbe, "/readyz"},
			"liveness":  {c.LivenessProbe, "/livez"}, // asks nobody, least of all the database
		} {
			if want.got == nil || want.got.HTTPGet == nil || want.got.HTTPGet.Path != want.path || want.got.HTTPGet.Port.String() != "admin" {
				t.Errorf("%s probe is %+v, want %s of the admin port", probe, want.got, want.path)
			}
		}
	})
}

func TestTheRuntimeFollowsTheLimits(t *testing.T) {
	eachVariant(t, func(t *testing.T, objects []object) {
		env := make(map[string]string)
		c := strataPod(t, objects).Spec.Containers[0]
		for _, e := range c.Env {
			if e.ValueFrom != nil && e.ValueFrom.ResourceFieldRef != nil {
				env[e.Name] = e.ValueFrom.ResourceFieldRef.Resource
			}
		}
		if env["GOMAXPROCS"] != "limits.cpu" || env["GOMEMLIMIT"] != "requests.memory" {
			t.Errorf("GOMAXPROCS and GOMEMLIMIT follow %v", env)
		}
		soft, hard := c.Resources.Requests.Memory().Value(), c.Resources.Limits.Memory().Value()
		if soft*10 > hard*9 || soft*2 < hard {
			t.Errorf("GOMEMLIMIT is %d of %d bytes: want some room above it, and not most of it", soft, hard)
		}
	})
}

func TestReplicasScaleSpreadAndLeaveOneByOne(t *testing.T) {
	eachVariant(t, func(t *testing.T, objects []object) {
		p := strataPod(t, objects)
		hpa := into[autoscalingv2.HorizontalPodAutoscaler](t, named(t, objects, "HorizontalPodAutoscaler", "strata"))
		if target := hpa.Spec.ScaleTargetRef; target.Kind != "Deployment" || target.Name != "strata" || hpa.Spec.MinReplicas == nil || *hpa.Spec.MinReplicas < 2 {
			t.Errorf("the autoscaler wants %+v, at least %v", target, hpa.Spec.MinReplicas)
		}
		if m := hpa.Spec.Metrics[0]; m.Resource == nil || m.Resource.Name != corev1.ResourceCPU {
			t.Errorf("the autoscaler does not look at processors: %+v", m)
		}
		pdb := into[policyv1.PodDisruptionBudget](t, named(t, objects, "PodDisruptionBudget", "strata"))
		if !selects(t, pdb.Spec.Selector, p.Labels) || pdb.Spec.MaxUnavailable == nil || pdb.Spec.MaxUnavailable.IntValue() != 1 {
			t.Errorf("the disruption budget is %+v", pdb.Spec)
		}
		var over []string
		for _, c := range p.Spec.TopologySpreadConstraints {
			if selects(t, c.LabelSelector, p.Labels) {
				over = append(over, c.TopologyKey)
			}
		}
		want := []string{"kubernetes.io/hostname"}
		if p.Labels["app.kubernetes.io/instance"] == "production" {
			want = append(want, "topology.kubernetes.io/zone") // kind's nodes have no such label, and the scheduler then passes over both constraints
		}
		if slices.Sort(over); !slices.Equal(over, want) {
			t.Errorf("replicas spread over %v, want %v", over, want)
		}
	})
}

func TestWithTheOperatorReplicasFollowRequestsInFlight(t *testing.T) {
	hpa := into[autoscalingv2.HorizontalPodAutoscaler](t, named(t, build(t, "production-requests-in-flight"), "HorizontalPodAutoscaler", "strata"))
	if len(hpa.Spec.Metrics) != 2 || hpa.Spec.Metrics[1].Pods == nil {
		t.Fatalf("metrics are %+v", hpa.Spec.Metrics)
	}
	metric := hpa.Spec.Metrics[1].Pods.Metric.Name
	for _, file := range []string{"../app/testdata/metrics.golden", "components/requests-in-flight/adapter.yaml"} {
		if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), metric) {
			t.Errorf("%s does not know %s (%v)", file, metric, err)
		}
	}
}

func selects(t *testing.T, selector *metav1.LabelSelector, of map[string]string) bool {
	t.Helper()
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	return !s.Empty() && s.Matches(labels.Set(of))
}

func TestEveryObjectCarriesTheStandardLabels(t *testing.T) {
	eachVariant(t, func(t *testing.T, objects []object) {
		for _, o := range objects {
			if slices.Contains([]string{"ConfigMap", "Secret", "NetworkPolicy", "Namespace"}, o.kind) {
				continue // they belong to all: part-of says to what
			}
			metadata := o.content["metadata"].(map[string]any)
			found := make(map[string]string)
			labels, _ := metadata["labels"].(map[string]any)
			for name, value := range labels {
				found[name] = fmt.Sprint(value)
			}
			if err := standardLabels(found); err != nil {
				t.Errorf("%s: %v", o, err)
			}
		}
	})
}

func TestServicesSelectPodsThatHaveTheirPorts(t *testing.T) {
	eachVariant(t, func(t *testing.T, objects []object) {
		all := pods(t, objects)
		for _, service := range ofKind[corev1.Service](t, objects, "Service") {
			for _, port := range service.Spec.Ports {
				i := slices.IndexFunc(all, func(p pod) bool {
					return labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(p.Labels)) && p.portNamed(port.TargetPort.String()) == port.Port
				})
				if i < 0 {
					t.Errorf("Service %s: no Pod has port %s as %d", service.Name, port.TargetPort.String(), port.Port)
				}
			}
		}
	})
}

func (p pod) portNamed(name string) int32 {
	for _, c := range p.Spec.Containers {
		for _, port := range c.Ports {
			if port.Name == name {
				return port.ContainerPort
			}
		}
	}
	return 0
}

func TestConfigurationIsImmutableAndNamedByItsContents(t *testing.T) {
	eachVariant(t, func(t *testing.T, objects []object) {
		hashed := regexp.MustCompile(`-[0-9a-z]{10}$`)
		for _, c := range ofKind[corev1.ConfigMap](t, objects, "ConfigMap") {
			if !isTrue(c.Immutable) || !hashed.MatchString(c.Name) {
				t.Errorf("ConfigMap %s: immutable %v", c.Name, isTrue(c.Immutable))
			}
		}
		for _, s := range ofKind[corev1.Secret](t, objects, "Secret") {
			if !hashed.MatchString(s.Name) {
				t.Errorf("Secret %s has no hash", s.Name)
			}
		}
	})
}

func TestEveryReferenceHasItsObject(t *testing.T) {
	// What a production namespace must have beforehand; kustomization.yaml says so.
	outside := []string{"Secret/strata", "Secret/strata-owner", "Secret/strata-app", "Secret/postgres-app"}
	eachVariant(t, func(t *testing.T, objects []object) {
		production := into[corev1.Namespace](t, named(t, objects, "Namespace", "strata")).Labels["app.kubernetes.io/instance"] == "production"
		exists := func(kind, name string) {
			t.Helper()
			if slices.ContainsFunc(objects, func(o object) bool { return o.kind == kind && o.name == name }) {
				return
			}
			if !production || !slices.Contains(outside, kind+"/"+name) {
				t.Errorf("there is no %s %s", kind, name)
			}
		}
		for _, p := range pods(t, objects) {
			exists("ServiceAccount", p.Spec.ServiceAccountName)
			for _, v := range p.Spec.Volumes {
				for _, name := range configMaps(v) {
					exists("ConfigMap", name)
				}
			}
			for _, c := range p.containers() {
				for _, e := range c.EnvFrom {
					if e.ConfigMapRef != nil {
						exists("ConfigMap", e.ConfigMapRef.Name)
					}
					if e.SecretRef != nil {
						exists("Secret", e.SecretRef.Name)
					}
				}
				for _, e := range c.Env {
					if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
						exists("Secret", e.ValueFrom.SecretKeyRef.Name)
					}
				}
			}
		}
	})
}

func TestSecretsAreNotInTheRepository(t *testing.T) {
	ignored, err := os.ReadFile(".gitignore")
	if err != nil || !strings.Contains(string(ignored), "/overlays/kind/secrets/\n") {
		t.Errorf("git does not ignore the made-up Secrets: %s (%v)", ignored, err)
	}
	for _, o := range build(t, "production-everything") {
		if o.kind == "Secret" {
			t.Errorf("%s comes with the production overlay", o)
		}
	}
	var found []string
	for _, o := range build(t, "kind") {
		if o.kind == "Secret" {
			found = append(found, withoutHash(o.name))
		}
	}
	if len(found) == 0 {
		t.Error("the kind overlay has no Secret: this test looks at the wrong thing")
	}
}

func TestTheServiceKnowsAHashOfTheTokenThatK6Has(t *testing.T) {
	objects := build(t, "kind")
	token := into[corev1.Secret](t, named(t, objects, "Secret", "k6")).Data["TOKEN"]
	want := fmt.Sprintf("demo:listings:write:%x", sha256.Sum256(token))
	if got := string(into[corev1.Secret](t, named(t, objects, "Secret", "strata")).Data["API_TOKENS"]); len(token) == 0 || got != want {
		t.Errorf("API_TOKENS is %q, want %q", got, want)
	}
}

func TestMadeUpSecretsStayTheSame(t *testing.T) {
	dir, err := tree()
	if err != nil {
		t.Fatal(err)
	}
	file := dir + "/k8s/overlays/kind/secrets/strata.env"
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	run(t, dir, "k8s/overlays/kind/secrets.sh")
	after, err := os.ReadFile(file)
	if err != nil || string(after) != string(before) {
		t.Errorf("a second run has changed the passwords that the cluster knows (%v)", err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read them: %v (%v)", info.Mode(), err)
	}
}

func TestJobsEnd(t *testing.T) {
	eachVariant(t, func(t *testing.T, objects []object) {
		for _, j := range ofKind[batchv1.Job](t, objects, "Job") {
			if j.Spec.BackoffLimit == nil {
				t.Errorf("Job %s has no bound", j.Name)
			}
		}
	})
}
