package k8s

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

// TestNetworkPoliciesAllowExactlyWhatTheConfigurationNeeds compares what the policies let through with the addresses that Pods find in
// their variables, arguments and mounted files.
func TestNetworkPoliciesAllowExactlyWhatTheConfigurationNeeds(t *testing.T) {
	for _, variant := range []string{"kind", "tilt"} {
		t.Run(variant, func(t *testing.T) {
			objects := build(t, variant)
			needed := neededFlows(t, objects)
			if len(needed) < 10 {
				t.Fatalf("found too few addresses: %v", needed)
			}
			if diff := cmp.Diff(allowedFlows(t, objects), needed); diff != "" {
				t.Errorf("flows (-allowed +needed):\n%s", diff)
			}
		})
	}
}

func TestAMissingAndASuperfluousPolicyAreNoticed(t *testing.T) {
	objects := build(t, "kind")
	needed := neededFlows(t, objects)
	without := slices.DeleteFunc(slices.Clone(objects), func(o object) bool { return o.String() == "NetworkPolicy/tempo" })
	if cmp.Equal(allowedFlows(t, without), needed) {
		t.Error("without Tempo's policy everything is as it was")
	}
	anybody := object{apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", name: "anybody", text: []byte(
		"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: anybody}\nspec: {podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{}], egress: [{}]}\n")}
	if cmp.Equal(allowedFlows(t, append(slices.Clone(objects), anybody)), needed) {
		t.Error("a policy that lets everything through changes nothing")
	}
}

func TestWhatIsNotNamedIsDenied(t *testing.T) {
	eachVariant(t, func(t *testing.T, objects []object) {
		p := into[networkingv1.NetworkPolicy](t, named(t, objects, "NetworkPolicy", "default-deny"))
		if len(p.Spec.PodSelector.MatchLabels)+len(p.Spec.PodSelector.MatchExpressions) > 0 || len(p.Spec.PolicyTypes) != 2 || len(p.Spec.Ingress)+len(p.Spec.Egress) > 0 {
			t.Errorf("default-deny is %+v", p.Spec)
		}
	})
}

func TestEveryPodMayLookUpNames(t *testing.T) {
	eachVariant(t, func(t *testing.T, objects []object) {
		dns := into[networkingv1.NetworkPolicy](t, named(t, objects, "NetworkPolicy", "names"))
		if len(dns.Spec.PodSelector.MatchLabels) > 0 || len(dns.Spec.Egress) != 1 || len(dns.Spec.Egress[0].Ports) != 2 {
			t.Errorf("names is %+v", dns.Spec)
		}
	})
}

// allowedFlows returns who may talk to whom inside of the namespace, as "k6 -> strata:8080": both ends must allow it.
func allowedFlows(t *testing.T, objects []object) []string {
	t.Helper()
	policies := ofKind[networkingv1.NetworkPolicy](t, objects, "NetworkPolicy")
	all := pods(t, objects)
	flows := make(map[string]bool)
	for _, from := range all {
		for _, to := range all {
			for _, c := range to.Spec.Containers {
				for _, port := range c.Ports {
					if mayLeave(t, policies, from, to, port) && mayEnter(t, policies, from, to, port) {
						flows[fmt.Sprintf("%s -> %s:%d", from.name(), to.name(), port.ContainerPort)] = true
					}
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(flows))
}

func (p pod) name() string { return p.Labels["app.kubernetes.io/name"] }

func mayLeave(t *testing.T, policies []networkingv1.NetworkPolicy, from, to pod, port corev1.ContainerPort) bool {
	for _, p := range policies {
		if !matches(t, &p.Spec.PodSelector, from) || !slices.Contains(p.Spec.PolicyTypes, networkingv1.PolicyTypeEgress) {
			continue
		}
		for _, rule := range p.Spec.Egress {
			if peers(t, rule.To, to) && opens(rule.Ports, port) {
				return true
			}
		}
	}
	return false
}

func mayEnter(t *testing.T, policies []networkingv1.NetworkPolicy, from, to pod, port corev1.ContainerPort) bool {
	for _, p := range policies {
		if !matches(t, &p.Spec.PodSelector, to) || !slices.Contains(p.Spec.PolicyTypes, networkingv1.PolicyTypeIngress) {
			continue
		}
		for _, rule := range p.Spec.Ingress {
			if peers(t, rule.From, from) && opens(rule.Ports, port) {
				return true
			}
		}
	}
	return false
}

// peers tells whether the Pod, which is in our namespace, is one of those that a rule names. A rule without any names all.
func peers(t *testing.T, peers []networkingv1.NetworkPolicyPeer, p pod) bool {
	if len(peers) == 0 {
		return true
	}
	return slices.ContainsFunc(peers, func(peer networkingv1.NetworkPolicyPeer) bool {
		return peer.NamespaceSelector == nil && peer.IPBlock == nil && matches(t, peer.PodSelector, p)
	})
}

func opens(ports []networkingv1.NetworkPolicyPort, port corev1.ContainerPort) bool {
	if len(ports) == 0 {
		return true
	}
	return slices.ContainsFunc(ports, func(p networkingv1.NetworkPolicyPort) bool {
		if p.Port.Type == intstr.String {
			return p.Port.StrVal == port.Name
		}
		return p.Port.IntVal == port.ContainerPort
	})
}

// matches is selects, but for an empty selector, which in a policy means every Pod.
func matches(t *testing.T, selector *metav1.LabelSelector, p pod) bool {
	return len(selector.MatchLabels)+len(selector.MatchExpressions) == 0 || selects(t, selector, p.Labels)
}

// neededFlows finds every "name:port" in what a Pod is told, where a Service of that name is in the same overlay.
func neededFlows(t *testing.T, objects []object) []string {
	t.Helper()
	all := pods(t, objects)
	servedBy := make(map[string][]pod)
	for _, s := range ofKind[corev1.Service](t, objects, "Service") {
		for _, p := range all {
			if labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(p.Labels)) {
				servedBy[s.Name] = append(servedBy[s.Name], p)
			}
		}
	}
	address := regexp.MustCompile(`\b([a-z][a-z0-9-]*):(\d{2,5})\b`)
	flows := make(map[string]bool)
	for _, from := range all {
		for _, text := range told(t, objects, from) {
			for _, found := range address.FindAllStringSubmatch(text, -1) {
				for _, to := range servedBy[found[1]] {
					flows[from.name()+" -> "+to.name()+":"+found[2]] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(flows))
}

// told returns everything that a Pod learns from its manifest and what that refers to. Addresses that are written in two places are joined.
func told(t *testing.T, objects []object, p pod) []string {
	t.Helper()
	var all []string
	data := func(kind, name string) map[string]string {
		o := named(t, objects, kind, name)
		if kind == "Secret" {
			texts := make(map[string]string)
			for key, value := range into[corev1.Secret](t, o).Data {
				texts[key] = string(value)
			}
			return texts
		}
		return into[corev1.ConfigMap](t, o).Data
	}
	add := func(texts map[string]string) {
		for _, text := range texts {
			all = append(all, withoutComments(text)...)
		}
		all = append(all, discovered(t, texts["prometheus.yml"])...)
	}
	for _, v := range p.Spec.Volumes {
		for _, name := range configMaps(v) {
			if withoutHash(name) != "k6-scripts" { // their default is for laptops
				add(data("ConfigMap", name))
			}
		}
	}
	for _, c := range p.containers() {
		all = append(all, c.Args...)
		for _, e := range c.Env {
			all = append(all, e.Value)
		}
		for _, e := range c.EnvFrom {
			if e.ConfigMapRef != nil {
				add(data("ConfigMap", e.ConfigMapRef.Name))
			}
			if e.SecretRef != nil {
				add(data("Secret", e.SecretRef.Name))
			}
		}
	}
	return all
}

func withoutComments(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, " #")
		if !strings.HasPrefix(strings.TrimSpace(line), "#") {
			lines = append(lines, line)
		}
	}
	return lines
}

// discovered returns the targets that Prometheus looks up by name, whose ports stand apart.
func discovered(t *testing.T, config string) []string {
	t.Helper()
	var parsed struct {
		ScrapeConfigs []struct {
			DNS []struct {
				Names []string `json:"names"`
				Port  int      `json:"port"`
			} `json:"dns_sd_configs"`
		} `json:"scrape_configs"`
	}
	if err := yaml.Unmarshal([]byte(config), &parsed); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, job := range parsed.ScrapeConfigs {
		for _, dns := range job.DNS {
			for _, name := range dns.Names {
				all = append(all, fmt.Sprintf("%s:%d", name, dns.Port))
			}
		}
	}
	return all
}
