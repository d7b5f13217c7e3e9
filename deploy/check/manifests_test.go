// Package check decodes what deploy/ ships against the types of those who will
// read it: the Kubernetes API and Amazon ECS. An unknown field, one in the wrong
// place or of the wrong type is an error.
package check

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// decode returns the objects of a manifest.
func decode(t *testing.T, text []byte) (all []runtime.Object) {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{appsv1.AddToScheme, corev1.AddToScheme, networkingv1.AddToScheme, rbacv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	strict := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	docs := yaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(text)))
	buffer := make([]byte, len(text)+1)
	for {
		n, err := docs.Read(buffer)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(bytes.TrimSpace(buffer[:n])) == 0 {
			continue
		}
		object, _, err := strict.Decode(buffer[:n], nil, nil)
		if err != nil {
			t.Errorf("%v in\n%s", err, buffer[:n])
			continue
		}
		all = append(all, object)
	}
}

// build is what `kubectl kustomize dir` prints.
func build(t *testing.T, dir string) []byte {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatalf("cannot build %s: %v", dir, err)
	}
	text, err := resources.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func of[T runtime.Object](objects []runtime.Object) (all []T) {
	for _, o := range objects {
		if v, ok := o.(T); ok {
			all = append(all, v)
		}
	}
	return all
}

// only returns the one object of its kind.
func only[T runtime.Object](t *testing.T, objects []runtime.Object) T {
	t.Helper()
	all := of[T](objects)
	if len(all) != 1 {
		t.Fatalf("%d objects of type %T, want 1", len(all), *new(T))
	}
	return all[0]
}

func TestOverlays(t *testing.T) {
	for overlay, want := range map[string][]string{
		"cloudwatch":                  {"output-cloudwatch.conf"},
		"cloudwatch-firehose":         {"output-cloudwatch.conf", "output-firehose.conf"},
		"cloudwatch-firehose-kinesis": {"output-cloudwatch.conf", "output-firehose.conf", "output-kinesis.conf"},
	} {
		t.Run(overlay, func(t *testing.T) {
			objects := decode(t, build(t, "../kubernetes/overlays/"+overlay))
			ds := only[*appsv1.DaemonSet](t, objects)
			account := only[*corev1.ServiceAccount](t, objects)
			binding := only[*rbacv1.ClusterRoleBinding](t, objects)
			role := only[*rbacv1.ClusterRole](t, objects)
			if ns := only[*corev1.Namespace](t, objects).Name; ns != "fluentbit-system" || ds.Namespace != ns || account.Namespace != ns {
				t.Errorf("namespaces are %s, %s, %s", ns, ds.Namespace, account.Namespace)
			}
			if s := binding.Subjects[0]; s.Name != account.Name || s.Namespace != account.Namespace || binding.RoleRef.Name != role.Name {
				t.Errorf("the binding is of %v to %v", binding.RoleRef, binding.Subjects)
			}
			pod := ds.Spec.Template
			if pod.Spec.ServiceAccountName != account.Name {
				t.Errorf("the pods run as %q", pod.Spec.ServiceAccountName)
			}
			for k, v := range ds.Spec.Selector.MatchLabels {
				if pod.Labels[k] != v {
					t.Errorf("the selector's %s is not on the pods", k)
				}
			}
			checkPod(t, pod.Spec, of[*corev1.ConfigMap](objects))

			var config *corev1.ConfigMap
			for _, c := range of[*corev1.ConfigMap](objects) {
				if strings.HasPrefix(c.Name, "fluentbit-config-") {
					config = c
				}
			}
			if config == nil {
				t.Fatal("no ConfigMap fluentbit-config")
			}
			var got []string
			for file := range config.Data {
				if file != "fluent-bit.conf" {
					got = append(got, file)
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("outputs are %v, want %v", got, want)
			}
		})
	}
}

// checkPod checks that the pod's parts fit each other.
func checkPod(t *testing.T, spec corev1.PodSpec, configs []*corev1.ConfigMap) {
	t.Helper()
	volumes := make(map[string]bool)
	known := func(name string) bool {
		return slices.ContainsFunc(configs, func(c *corev1.ConfigMap) bool { return c.Name == name })
	}
	for _, v := range spec.Volumes {
		volumes[v.Name] = true
		if v.ConfigMap != nil && !known(v.ConfigMap.Name) {
			t.Errorf("no ConfigMap %s", v.ConfigMap.Name)
		}
	}
	for _, c := range append(spec.InitContainers, spec.Containers...) {
		ports := make(map[string]bool)
		for _, p := range c.Ports {
			ports[p.Name] = true
		}
		for _, p := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
			if p != nil && p.HTTPGet != nil && !ports[p.HTTPGet.Port.String()] {
				t.Errorf("%s: a probe asks port %s, which it does not have", c.Name, p.HTTPGet.Port.String())
			}
		}
		for _, m := range c.VolumeMounts {
			if !volumes[m.Name] {
				t.Errorf("%s: no volume %s", c.Name, m.Name)
			}
		}
		for _, e := range c.EnvFrom {
			if e.ConfigMapRef != nil && !known(e.ConfigMapRef.Name) {
				t.Errorf("%s: no ConfigMap %s", c.Name, e.ConfigMapRef.Name)
			}
		}
		if c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
			t.Errorf("%s has no limit of memory or no request of CPU", c.Name)
		}
	}
}

func TestDemo(t *testing.T) {
	text, err := os.ReadFile("../kubernetes/demo/demo.yaml")
	if err != nil {
		t.Fatal(err)
	}
	objects := decode(t, text)
	pods := only[*appsv1.Deployment](t, objects).Spec.Template
	service := only[*corev1.Service](t, objects)
	ingress := only[*networkingv1.Ingress](t, objects)
	if pods.Annotations["fluentbit.io/parser"] != "nginx" {
		t.Error("nginx has no parser")
	}
	for k, v := range service.Spec.Selector {
		if pods.Labels[k] != v {
			t.Errorf("the service's %s is not on the pods", k)
		}
	}
	if port := pods.Spec.Containers[0].Ports[0].Name; service.Spec.Ports[0].TargetPort.String() != port {
		t.Errorf("the service leads to port %s, not %s", service.Spec.Ports[0].TargetPort.String(), port)
	}
	backend := ingress.Spec.Rules[0].HTTP.Paths[0].Backend.Service
	if backend.Name != service.Name || backend.Port.Name != service.Spec.Ports[0].Name {
		t.Errorf("the ingress leads to %v", backend)
	}
	checkPod(t, pods.Spec, nil)
}

func TestFargate(t *testing.T) {
	objects := decode(t, build(t, "../fargate"))
	spec := only[*appsv1.Deployment](t, objects).Spec.Template.Spec
	checkPod(t, spec, of[*corev1.ConfigMap](objects))
	if c := spec.InitContainers[0]; c.RestartPolicy == nil || *c.RestartPolicy != corev1.ContainerRestartPolicyAlways {
		t.Error("the sidecar is an ordinary init container, which the application would wait for")
	}
	shared := func(c corev1.Container) string {
		for _, m := range c.VolumeMounts {
			if m.Name == "logs" {
				return m.MountPath
			}
		}
		return ""
	}
	if shared(spec.InitContainers[0]) == "" || shared(spec.Containers[0]) == "" {
		t.Error("application and sidecar share no volume")
	}
	// What the configuration takes from the environment is set.
	config := only[*corev1.ConfigMap](t, objects).Data["fluent-bit.conf"]
	env := make(map[string]bool)
	for _, e := range spec.InitContainers[0].Env {
		env[e.Name] = true
	}
	for _, part := range strings.Split(config, "${")[1:] {
		if name, _, _ := strings.Cut(part, "}"); !env[name] {
			t.Errorf("nobody sets ${%s}", name)
		}
	}

	// The built-in router's name, label and limit are fixed.
	// https://docs.aws.amazon.com/eks/latest/userguide/fargate-logging.html
	text, err := os.ReadFile("../fargate/aws-observability.yaml")
	if err != nil {
		t.Fatal(err)
	}
	objects = decode(t, text)
	if ns := only[*corev1.Namespace](t, objects); ns.Name != "aws-observability" || ns.Labels["aws-observability"] != "enabled" {
		t.Errorf("the namespace is %s with %v", ns.Name, ns.Labels)
	}
	router := only[*corev1.ConfigMap](t, objects)
	size := 0
	for _, v := range router.Data {
		size += len(v)
	}
	if router.Name != "aws-logging" || router.Namespace != "aws-observability" || size > 5300 {
		t.Errorf("the ConfigMap is %s/%s with %d characters", router.Namespace, router.Name, size)
	}
}

// Task definitions are what `aws ecs register-task-definition --cli-input-json` takes.
func TestTaskDefinitions(t *testing.T) {
	files, err := filepath.Glob("../ecs/*.json")
	if err != nil || len(files) < 3 {
		t.Fatalf("%d task definitions, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		dec := json.NewDecoder(bytes.NewReader(text)) // matches names in any case
		dec.DisallowUnknownFields()
		var task ecs.RegisterTaskDefinitionInput
		if err := dec.Decode(&task); err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		routers := 0
		names := make(map[string]bool)
		for _, c := range task.ContainerDefinitions {
			names[*c.Name] = true
			if c.FirelensConfiguration != nil {
				routers++
			}
			if !slices.Contains(c.LogConfiguration.LogDriver.Values(), c.LogConfiguration.LogDriver) {
				t.Errorf("%s: %s has log driver %q", file, *c.Name, c.LogConfiguration.LogDriver)
			}
		}
		if routers != 1 {
			t.Errorf("%s has %d log routers", file, routers)
		}
		for _, c := range task.ContainerDefinitions {
			for _, d := range c.DependsOn {
				if !names[*d.ContainerName] || !slices.Contains(d.Condition.Values(), d.Condition) {
					t.Errorf("%s: %s depends on %s %s", file, *c.Name, *d.ContainerName, d.Condition)
				}
			}
		}
		if task.Family == nil || task.TaskRoleArn == nil || !slices.Contains(task.NetworkMode.Values(), task.NetworkMode) {
			t.Errorf("%s lacks a family, a role or a network mode", file)
		}
	}
}

// A field that does not exist is found: the other tests rest on it.
func TestStrict(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := appsv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	strict := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	for _, bad := range []string{
		`{apiVersion: apps/v1, kind: DaemonSet, spec: {tempalte: {}}}`,
		`{apiVersion: apps/v1, kind: DaemonSet, spec: {template: {spec: {hostNetwork: "yes"}}}}`,
		`{apiVersion: rbac.authorization.k8s.io/v1beta1, kind: ClusterRole}`,
	} {
		if o, _, err := strict.Decode([]byte(bad), nil, nil); err == nil {
			t.Error(fmt.Sprintf("%s decodes to %v", bad, o))
		}
	}
}
