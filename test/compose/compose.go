// Package compose runs the compose file of the repository with real images on a Docker engine. It
// looks at the lab as a user does: through the logs of the containers and through Prometheus.
//
// If the engine reaches no registry, it uses base images made from files of this machine
// (standin.go). Everything that a run makes has a name of its own and is removed at the end.
package compose

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// A Project is a run of the compose file.
type Project struct {
	Root string   // of the repository
	Name string   // prefix of the names of everything that it makes
	Env  []string // variables for the compose file, beside its .env

	command []string
}

// Find returns the compose program: Compose v2 or docker-compose 1.
func Find() ([]string, error) {
	for _, c := range [][]string{{"docker", "compose"}, {"docker-compose"}} {
		if exec.Command(c[0], append(c[1:], "version")...).Run() == nil {
			return c, nil
		}
	}
	return nil, errors.New("neither Compose v2 nor docker-compose is installed (Debian: apt-get install docker-compose)")
}

// Engine returns an error if no Docker engine answers.
func Engine() error {
	if out, err := exec.Command("docker", "version", "--format", "{{.Server.Version}}").CombinedOutput(); err != nil {
		return fmt.Errorf("no Docker engine answers (Debian: apt-get install docker.io; then start dockerd): %w: %s",
			err, bytes.TrimSpace(out))
	}
	return nil
}

// Compose runs the compose program and returns what it printed.
func (p *Project) Compose(ctx context.Context, args ...string) (string, error) {
	argv := append(append([]string{}, p.command...), "-p", p.Name)
	return run(ctx, p.Root, p.Env, append(argv, args...)...)
}

// Docker runs the engine's client.
func Docker(ctx context.Context, args ...string) (string, error) {
	return run(ctx, "", nil, append([]string{"docker"}, args...)...)
}

// run returns standard output. An error holds what went to standard error.
func run(ctx context.Context, dir string, env []string, argv ...string) (string, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err,
			tail(said.String()+out.String(), 30))
	}
	return out.String(), nil
}

// tail returns the last lines of a text.
func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Container returns the id of a service's only container, which may have ended. It asks the engine,
// because compose takes seconds, and some tests act at a moment.
func (p *Project) Container(ctx context.Context, service string) (string, error) {
	out, err := Docker(ctx, "ps", "-aq", "--no-trunc", "--filter", "label=com.docker.compose.project="+p.Name,
		"--filter", "label=com.docker.compose.service="+service)
	id := strings.TrimSpace(out)
	if err == nil && (id == "" || strings.Contains(id, "\n")) {
		err = fmt.Errorf("service %s has the containers %q, want one", service, id)
	}
	return id, err
}

// Logs returns what a service printed since its containers were made.
func (p *Project) Logs(ctx context.Context, service string) (string, error) {
	id, err := p.Container(ctx, service)
	if err != nil {
		return "", err
	}
	return Docker(ctx, "logs", id)
}

// Health returns the state of a service's health check.
func (p *Project) Health(ctx context.Context, service string) (string, error) {
	id, err := p.Container(ctx, service)
	if err != nil {
		return "", err
	}
	out, err := Docker(ctx, "inspect", "-f", "{{.State.Health.Status}}", id)
	return strings.TrimSpace(out), err
}

// Prometheus is the address of a Prometheus' HTTP API.
type Prometheus string

func (p Prometheus) get(ctx context.Context, path string, values url.Values, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, string(p)+path+"?"+values.Encode(), nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body := struct {
		Status, Error string
		Data          any
	}{Data: into}
	if err := json.NewDecoder(answer.Body).Decode(&body); err != nil {
		return fmt.Errorf("%s: %s: %w", path, answer.Status, err)
	}
	if body.Status != "success" {
		return fmt.Errorf("%s: %s", path, body.Error)
	}
	return nil
}

// Sample is one element of a query's result.
type Sample struct {
	Labels map[string]string
	Value  float64
}

// Query returns the value of an expression now.
func (p Prometheus) Query(ctx context.Context, expr string) ([]Sample, error) {
	var data struct {
		Result []struct {
			Metric map[string]string
			Value  [2]any
		}
	}
	if err := p.get(ctx, "/api/v1/query", url.Values{"query": {expr}}, &data); err != nil {
		return nil, fmt.Errorf("asking for %s: %w", expr, err)
	}
	var samples []Sample
	for _, r := range data.Result {
		text, _ := r.Value[1].(string)
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: value %q: %w", expr, text, err)
		}
		samples = append(samples, Sample{r.Metric, v})
	}
	return samples, nil
}

// Sum returns the sum of an expression's values, NaN if there is none.
func (p Prometheus) Sum(ctx context.Context, expr string) (float64, error) {
	samples, err := p.Query(ctx, expr)
	if err != nil || len(samples) == 0 {
		return math.NaN(), err
	}
	var sum float64
	for _, s := range samples {
		sum += s.Value
	}
	return sum, nil
}

// Firing returns the names of the alerts that fire.
func (p Prometheus) Firing(ctx context.Context) ([]string, error) {
	var data struct {
		Alerts []struct {
			State  string
			Labels map[string]string
		}
	}
	if err := p.get(ctx, "/api/v1/alerts", nil, &data); err != nil {
		return nil, err
	}
	var names []string
	for _, a := range data.Alerts {
		if a.State == "firing" {
			names = append(names, a.Labels["alertname"])
		}
	}
	return names, nil
}
