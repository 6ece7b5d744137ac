package k8s

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"
)

// roles are the Pods that k6's operator makes of a TestRun, and what each has to reach.
var roles = map[string][]string{"initializer": nil, "starter": {"runner:6565"}, "runner": {"strata:8080"}}

// rolePod is a Pod as the operator makes it of one part of the TestRun: what the part says, and the operator's own defaults, none of which
// a restricted namespace takes.
func rolePod(t *testing.T, run object, role string) pod {
	t.Helper()
	part, _ := run.content["spec"].(map[string]any)[role].(map[string]any)
	if part == nil {
		part = map[string]any{}
	}
	text, err := yaml.Marshal(part)
	if err != nil {
		t.Fatal(err)
	}
	var said struct {
		Image                        string
		ServiceAccountName           string
		AutomountServiceAccountToken string
		Metadata                     struct{ Labels map[string]string }
		SecurityContext              corev1.PodSecurityContext
		ContainerSecurityContext     corev1.SecurityContext
	}
	if err := yaml.Unmarshal(text, &said); err != nil {
		t.Fatal(err)
	}
	automount := said.AutomountServiceAccountToken != "false"
	p := pod{owner: "TestRun/" + role}
	p.Labels = said.Metadata.Labels
	p.Spec.ServiceAccountName, p.Spec.AutomountServiceAccountToken = said.ServiceAccountName, &automount
	p.Spec.SecurityContext = &said.SecurityContext
	if said.Image == "" {
		said.Image = "ghcr.io/grafana/k6-operator:latest-" + role
	}
	p.Spec.Containers = []corev1.Container{{Name: role, Image: said.Image, SecurityContext: &said.ContainerSecurityContext}}
	return p
}

func TestTheOperatorsPodsAreAdmittedAndReachEachOther(t *testing.T) {
	objects := build(t, "production-k6-operator")
	run := named(t, objects, "TestRun", "browse")
	policies := ofKind[networkingv1.NetworkPolicy](t, objects, "NetworkPolicy")
	for role, reaches := range roles {
		p := rolePod(t, run, role)
		c := p.Spec.Containers[0]
		s, cs := p.Spec.SecurityContext, c.SecurityContext
		if !isTrue(s.RunAsNonRoot) || s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault ||
			cs.AllowPrivilegeEscalation == nil || *cs.AllowPrivilegeEscalation || cs.Capabilities == nil || len(cs.Capabilities.Drop) != 1 {
			t.Errorf("the %s is refused by the restricted namespace", role)
		}
		if *p.Spec.AutomountServiceAccountToken || p.Spec.ServiceAccountName != "strata" {
			t.Errorf("the %s has a token for the Kubernetes API", role)
		}
		if strings.Contains(c.Image, ":latest") {
			t.Errorf("the %s has the image %s", role, c.Image)
		}
		for _, target := range reaches {
			name, port, _ := strings.Cut(target, ":")
			to := rolePod(t, run, "runner")
			at := corev1.ContainerPort{ContainerPort: 6565}
			if name == "strata" {
				to = strataPod(t, objects)
				at = corev1.ContainerPort{Name: "http", ContainerPort: 8080}
			}
			if !mayLeave(t, policies, p, to, at) || !mayEnter(t, policies, p, to, at) {
				t.Errorf("no policy lets the %s reach port %s of the %s", role, port, name)
			}
		}
	}
}

// TestKubePrometheusStackFindsWhatIsForIt: it selects by the name of its Helm release, and leaves out the rest without a word.
func TestKubePrometheusStackFindsWhatIsForIt(t *testing.T) {
	found := 0
	for _, o := range build(t, "production") {
		if o.kind != "ServiceMonitor" && o.kind != "PrometheusRule" {
			continue
		}
		found++
		labels, _ := o.content["metadata"].(map[string]any)["labels"].(map[string]any)
		if labels["release"] != "kube-prometheus-stack" {
			t.Errorf("%s has the labels %v, and none of the release", o, labels)
		}
	}
	if found != 2 {
		t.Errorf("found %d objects for it, want 2", found)
	}
}
