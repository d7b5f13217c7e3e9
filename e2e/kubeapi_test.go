//go:build e2e

package e2e

import (
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// pod is a pod of a node, as its kubelet and the Kubernetes API know it.
type pod struct {
	namespace, name, uid string
	node                 string
	labels, annotations  map[string]string
	container, id        string // of its one container; id has 64 digits
	image, imageHash     string
	runtime              string // docker or containerd
}

// object is what the Kubernetes API answers for the pod.
func (p pod) object() map[string]any {
	return map[string]any{
		"apiVersion": "v1", "kind": "Pod",
		"metadata": map[string]any{
			"name": p.name, "namespace": p.namespace, "uid": p.uid, "labels": p.labels, "annotations": p.annotations,
		},
		"spec": map[string]any{
			"nodeName": p.node, "containers": []any{map[string]any{"name": p.container, "image": p.image}},
		},
		"status": map[string]any{
			"phase": "Running", "podIP": "10.1.130.7",
			"containerStatuses": []any{map[string]any{
				"name": p.container, "image": p.image, "ready": true, "restartCount": 0,
				"imageID":     p.imageID(),
				"containerID": p.runtime + "://" + p.id,
			}},
		},
	}
}

// imageID is the image as its runtime names it.
func (p pod) imageID() string {
	id := strings.SplitN(p.image, ":", 2)[0] + "@sha256:" + p.imageHash
	if p.runtime == "docker" {
		return "docker-pullable://" + id
	}
	return id
}

// logLink is the name under which a kubelet shows a container's log.
func (p pod) logLink() string {
	return fmt.Sprintf("var/log/containers/%s_%s_%s-%s.log", p.name, p.namespace, p.container, p.id)
}

// makeLog lays the pod's empty log out below root as a kubelet does: a link in
// /var/log/containers to one in /var/log/pods, which with docker is a link to
// docker's own file. It returns the file's path.
func (p pod) makeLog(t *testing.T, root string) string {
	t.Helper()
	inPod := filepath.Join(root, "var/log/pods", p.namespace+"_"+p.name+"_"+p.uid, p.container, "0.log")
	file := inPod
	if p.runtime == "docker" {
		file = filepath.Join(root, "var/lib/docker/containers", p.id, p.id+"-json.log")
		makeLink(t, file, inPod)
	}
	makeLink(t, inPod, filepath.Join(root, p.logLink()))
	writeNew(t, file, "")
	return file
}

func makeLink(t *testing.T, target, link string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
}

func writeNew(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// appendTo is what a container does when it logs.
func appendTo(t *testing.T, file, text string) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// dockerLine is a line as docker's json-file driver writes it.
func dockerLine(text, at string) string {
	log, err := json.Marshal(text + "\n")
	if err != nil {
		return err.Error() // a string can always be marshalled
	}
	return fmt.Sprintf(`{"log":%s,"stream":"stdout","time":%q}`+"\n", log, at)
}

// criLine is a line as containerd and CRI-O write it.
func criLine(text, at string) string { return at + " stdout F " + text + "\n" }

// kubeAPI stands in for the API server of a cluster: over TLS, for the holder
// of the service account's token, it gets pods and namespaces, and nothing else.
type kubeAPI struct {
	url   string
	ca    string // file
	token string // file
	ns    string // file with the namespace of the service account

	mu    sync.Mutex // guards the following
	asked map[string]int
}

const saToken = "eyJhbGciOiJSUzI1NiJ9.e2Utc2VydmljZS1hY2NvdW50.c2lnbmF0dXJl"

func startKubeAPI(t *testing.T, pods ...pod) *kubeAPI {
	t.Helper()
	dir := t.TempDir()
	k := &kubeAPI{asked: make(map[string]int), ca: filepath.Join(dir, "ca.crt"), token: filepath.Join(dir, "token"), ns: filepath.Join(dir, "namespace")}
	objects := make(map[string]map[string]any)
	for _, p := range pods {
		objects["/api/v1/namespaces/"+p.namespace+"/pods/"+p.name] = p.object()
		objects["/api/v1/namespaces/"+p.namespace] = map[string]any{
			"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": p.namespace},
		}
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		code, answer := http.StatusOK, objects[r.URL.Path]
		switch {
		case r.Header.Get("Authorization") != "Bearer "+saToken:
			code, answer = http.StatusUnauthorized, map[string]any{"kind": "Status", "status": "Failure", "code": 401}
		case r.Method != http.MethodGet || answer == nil:
			code, answer = http.StatusNotFound, map[string]any{"kind": "Status", "status": "Failure", "code": 404}
		}
		k.mu.Lock()
		k.asked[fmt.Sprintf("%s %s %d", r.Method, r.URL.Path, code)]++
		k.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(answer) // a client that has gone is no concern here
	}))
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	s.Config.ReadHeaderTimeout = 10 * time.Second
	s.StartTLS()
	t.Cleanup(s.Close)
	k.url = s.URL
	writeNew(t, k.ca, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
	writeNew(t, k.token, saToken)
	writeNew(t, k.ns, "fluentbit-system")
	return k
}

// requests says what was asked for and answered, as "GET /path 200".
func (k *kubeAPI) requests() map[string]int {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := make(map[string]int, len(k.asked))
	for r, n := range k.asked {
		all[r] = n
	}
	return all
}

// filterLines are the options that lead the kubernetes filter here.
func (k *kubeAPI) filterLines() string {
	return strings.Join([]string{
		"    Kube_URL            " + k.url,
		"    Kube_CA_File        " + k.ca,
		"    Kube_Token_File     " + k.token,
		"    Kube_Namespace_File " + k.ns,
	}, "\n")
}
