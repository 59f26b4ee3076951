package compose

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Stand-ins are base images made from files of this machine, for an engine that reaches no
// registry. Each has the paths of the real image that the compose file and the Dockerfile use.

// Images of the compose file that may need a stand-in, by the variable that names them there.
const (
	goImage         = "IMAGE_GO"
	prometheusImage = "IMAGE_PROMETHEUS"
	grafanaImage    = "IMAGE_GRAFANA"
	postgresImage   = "IMAGE_POSTGRES"
	keaImage        = "IMAGE_KEA"
)

// standInPrefix begins the name of every stand-in.
const standInPrefix = "dhcp4o6-lab/"

// stageLabel marks the image that everything is built from, and so the stages of the build.
const stageLabel = "dhcp4o6-lab=stage"

// moduleDir is the directory in the Go stand-in that holds the modules, in the form of a proxy.
const moduleDir = "/modules"

// available reports whether the engine has the image or can pull it.
func available(ctx context.Context, image string) bool {
	if exec.CommandContext(ctx, "docker", "image", "inspect", image).Run() == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	return exec.CommandContext(ctx, "docker", "pull", "-q", image).Run() == nil
}

// importImage makes an image of one layer.
func importImage(ctx context.Context, name string, changes []string, fill func(*layer) error) error {
	args := []string{"import"}
	for _, c := range changes {
		args = append(args, "--change", c)
	}
	cmd := exec.CommandContext(ctx, "docker", append(args, "-", name)...)
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return err
	}
	l := &layer{tar: tar.NewWriter(in), has: make(map[string]bool)}
	err = errors.Join(fill(l), l.tar.Close(), in.Close())
	if waited := cmd.Wait(); waited != nil {
		err = errors.Join(err, fmt.Errorf("docker import: %w: %s", waited, out.Bytes()))
	}
	return err
}

// layer is the file system of an image while it is written.
type layer struct {
	tar *tar.Writer
	has map[string]bool
}

// dir adds a directory with an owner.
func (l *layer) dir(name string, mode int64, owner int) error {
	return l.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: strings.TrimPrefix(name, "/") + "/", Mode: mode,
		Uid: owner, Gid: owner})
}

// file adds a file of this machine under a name. It follows links.
func (l *layer) file(from, name string) error {
	if l.has[name] {
		return nil
	}
	l.has[name] = true
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := l.tar.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: strings.TrimPrefix(name, "/"), Mode: int64(info.Mode().Perm()),
		Size: info.Size(), ModTime: info.ModTime(),
	}); err != nil {
		return err
	}
	_, err = io.Copy(l.tar, f)
	return err
}

// text adds a file with a content.
func (l *layer) text(name, content string) error {
	err := l.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: strings.TrimPrefix(name, "/"), Mode: 0o644,
		Size: int64(len(content))})
	if err != nil {
		return err
	}
	_, err = io.WriteString(l.tar, content)
	return err
}

// tree adds the files below a directory of this machine, except those in the directories in skip.
func (l *layer) tree(from, to string, skip ...string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if slices.Contains(skip, rel) {
			return fs.SkipDir
		}
		if d.IsDir() {
			return nil
		}
		return l.file(path, filepath.Join(to, rel))
	})
}

// program adds a program and its libraries.
func (l *layer) program(from, name string) error {
	if err := l.file(from, name); err != nil {
		return err
	}
	// ldd fails on a program without libraries.
	out, _ := exec.Command("ldd", from).Output()
	for field := range strings.FieldsSeq(string(out)) {
		if strings.HasPrefix(field, "/") {
			if err := l.file(field, field); err != nil {
				return err
			}
		}
	}
	return nil
}

// goStandIn makes the Go image: the toolchain of this machine, the modules that the programs need,
// and a shell.
func goStandIn(ctx context.Context, root, name string) error {
	env, err := exec.CommandContext(ctx, "go", "env", "GOROOT", "GOMODCACHE", "GOPROXY").Output()
	if err != nil {
		return fmt.Errorf("asking for the Go toolchain: %w", err)
	}
	lines := strings.Split(string(env), "\n")
	goroot, cache, proxy := lines[0], lines[1], lines[2]
	modules, err := os.MkdirTemp("", "dhcp4o6-modules-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(modules) //nolint:errcheck // a temporary directory
	// Listing the packages, the same as in the Dockerfile, into an empty module cache fetches
	// exactly what they need. It comes from the cache of this machine if it is there.
	list := exec.CommandContext(ctx, "go", "list", "-deps", "./shared/...", "./dhcp6d/...", "./dhcp4d/...",
		"./clients/...")
	list.Dir = root
	list.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-modcacherw", "GOSUMDB=off",
		"GOMODCACHE="+modules, "GOPROXY=file://"+filepath.Join(cache, "cache", "download")+","+proxy)
	if out, err := list.CombinedOutput(); err != nil {
		return fmt.Errorf("gathering modules: %w: %s", err, out)
	}
	return importImage(ctx, name, []string{"ENV PATH=/usr/local/go/bin:/bin", "ENV HOME=/root", "LABEL " + stageLabel}, func(l *layer) error {
		return errors.Join(
			l.tree(goroot, "/usr/local/go", "test", "api", "doc", "misc"),
			l.tree(filepath.Join(modules, "cache", "download"), moduleDir, "sumdb"),
			l.program("/bin/sh", "/bin/sh"),
			l.dir("/tmp", 0o1777, 0), l.dir("/root", 0o700, 0),
		)
	})
}

// labelled makes an image with the label from another.
func labelled(ctx context.Context, from, name string) error {
	cmd := exec.CommandContext(ctx, "docker", "build", "-q", "-t", name, "-")
	cmd.Stdin = strings.NewReader("FROM " + from + "\nLABEL " + stageLabel + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("docker build: %w: %s", err, out)
	}
	return nil
}

// prometheusStandIn makes the Prometheus image from an installed Prometheus.
func prometheusStandIn(ctx context.Context, name string) error {
	path, err := exec.LookPath("prometheus")
	if err != nil {
		return errors.New("no Prometheus image and no program either (Debian: apt-get install prometheus)")
	}
	const nobody = 65534
	return importImage(ctx, name, []string{`ENTRYPOINT ["/bin/prometheus"]`, "USER 65534:65534"}, func(l *layer) error {
		return errors.Join(
			l.program(path, "/bin/prometheus"),
			l.dir("/prometheus", 0o755, nobody), l.dir("/tmp", 0o1777, 0),
		)
	})
}

// postgresStandIn makes the PostgreSQL image from an installed PostgreSQL.
func postgresStandIn(ctx context.Context, name string) error {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(found) == 0 {
		return errors.New("no PostgreSQL image and no program either (Debian: apt-get install postgresql)")
	}
	bin := filepath.Dir(found[len(found)-1])
	home := filepath.Dir(bin)
	const postgres = 999
	return importImage(ctx, name, []string{"ENV PATH=" + bin + ":/bin"}, func(l *layer) error {
		err := errors.Join(
			l.text("/etc/passwd", fmt.Sprintf("postgres:x:%d:%[1]d::/var/lib/postgresql:/bin/sh\n", postgres)),
			l.text("/etc/group", fmt.Sprintf("postgres:x:%d:\n", postgres)),
			l.tree(filepath.Join("/usr/share/postgresql", filepath.Base(home)),
				filepath.Join("/usr/share/postgresql", filepath.Base(home)), "man"),
			l.file("/usr/share/zoneinfo/UTC", "/usr/share/zoneinfo/UTC"),
			l.dir("/tmp", 0o1777, 0), l.dir("/var/lib/postgresql", 0o755, postgres),
			l.dir("/var/lib/postgresql/data", 0o700, postgres),
		)
		for _, program := range []string{"postgres", "initdb", "pg_basebackup", "pg_isready", "psql"} {
			err = errors.Join(err, l.program(filepath.Join(bin, program), filepath.Join(bin, program)))
		}
		for _, program := range []string{"sh", "cat", "mv", "rm"} { // of postgres.sh
			err = errors.Join(err, l.program("/bin/"+program, "/bin/"+program))
		}
		for _, library := range []string{"dict_snowball.so", "libpqwalreceiver.so", "plpgsql.so"} {
			path := filepath.Join(home, "lib", library)
			err = errors.Join(err, l.program(path, path))
		}
		return err
	})
}

// keaStandIn makes the image of Kea's DHCPv6 server from an installed one.
func keaStandIn(ctx context.Context, name string) error {
	const path = "/usr/sbin/kea-dhcp6"
	if _, err := os.Stat(path); err != nil {
		return errors.New("no image of Kea and no program either (Debian: apt-get install kea-dhcp6-server)")
	}
	return importImage(ctx, name, []string{"ENV PATH=/usr/sbin:/bin"}, func(l *layer) error {
		return errors.Join(
			l.program(path, path),
			l.program("/bin/sh", "/bin/sh"), l.program("/bin/cat", "/bin/cat"), // of kea.sh
			l.dir("/tmp", 0o1777, 0),
		)
	})
}
