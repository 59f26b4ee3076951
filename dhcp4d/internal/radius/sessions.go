package radius

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
)

// sessionLog keeps what is known of the sessions that have begun, so that after a start their
// records still have the User-Name and the Class that a server has joined with them. Each line of
// its file is an entry; the last one of an address counts. It is behind by what a power cut takes.
type sessionLog struct {
	path  string
	file  *os.File
	lines int // of the file
}

// entry is what is kept of a session.
type entry struct {
	Address netip.Addr `json:"address"`
	Session string     `json:"session,omitempty"` // empty: it is over
	User    string     `json:"user,omitempty"`
	Class   [][]byte   `json:"class,omitempty"`
	MAC     string     `json:"mac,omitempty"`
	Port    string     `json:"port,omitempty"`
	Key     []byte     `json:"key,omitempty"`
}

// spareLines is how many lines there may be beyond twice those that count.
const spareLines = 1 << 12

// longestLine is more than an entry can have.
const longestLine = 1 << 20

// entry is what is kept of the session.
func (s *session) entry() entry {
	return entry{Address: s.address, Session: s.id, User: s.user, Class: s.class, MAC: s.mac, Port: s.port,
		Key: s.key}
}

// openSessionLog opens the file, and returns the sessions in it.
func openSessionLog(path string) (*sessionLog, *sessions, error) {
	j, sessions := &sessionLog{path: path}, newSessions()
	file, err := os.Open(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("opening the sessions (RADIUS_CURSOR): %w", err)
	}
	if err == nil {
		lines := bufio.NewScanner(file)
		lines.Buffer(nil, longestLine)
		for lines.Scan() {
			var e entry
			if json.Unmarshal(lines.Bytes(), &e) != nil || !e.Address.Is4() {
				continue // a line that a power cut has cut off
			}
			if sessions.remove(e.Address); e.Session != "" {
				sessions.put(session{
					client:  client{user: e.User, class: e.Class, key: e.Key, mac: e.MAC, port: e.Port},
					address: e.Address, id: e.Session,
				})
			}
		}
		if err := errors.Join(lines.Err(), file.Close()); err != nil {
			return nil, nil, fmt.Errorf("reading the sessions in %s (RADIUS_CURSOR): %w", path, err)
		}
	}
	return j, sessions, j.rewrite(sessions.entries())
}

// rewrite replaces the file by one with these sessions only.
func (l *sessionLog) rewrite(sessions []entry) error {
	file, err := os.CreateTemp(filepath.Dir(l.path), filepath.Base(l.path)+".*")
	if err != nil {
		return fmt.Errorf("making the file of sessions (RADIUS_CURSOR): %w", err)
	}
	b := bufio.NewWriter(file)
	lines := json.NewEncoder(b)
	for i := range sessions {
		err = errors.Join(err, lines.Encode(&sessions[i]))
	}
	if err = errors.Join(err, b.Flush(), file.Sync()); err == nil {
		err = os.Rename(file.Name(), l.path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing the sessions to %s (RADIUS_CURSOR): %w", l.path, err), file.Close(),
			os.Remove(file.Name()))
	}
	if l.file != nil {
		_ = l.file.Close() // it has no name any more
	}
	l.file, l.lines = file, len(sessions)
	return nil
}

// add adds an entry. The rest of the file counts for n sessions, which all returns.
func (l *sessionLog) add(e entry, n int, all func() []entry) error {
	if l.lines > 2*n+spareLines {
		return l.rewrite(all())
	}
	line, err := json.Marshal(e)
	if err == nil {
		_, err = l.file.Write(append(line, '\n'))
	}
	if err != nil {
		return fmt.Errorf("writing a session to %s (RADIUS_CURSOR): %w", l.path, err)
	}
	l.lines++
	return nil
}

// entries returns what is kept of all sessions.
func (r *Radius) entries() []entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sessions.entries()
}

// keep has the session log keep the session of an address, or that it is over. Only told calls it.
func (r *Radius) keep(e entry) {
	if r.sessionLog == nil {
		return
	}
	r.mu.Lock()
	n := len(r.sessions.at)
	r.mu.Unlock()
	if err := r.sessionLog.add(e, n, r.entries); err != nil {
		r.log.Error("a session is not kept: after the next start its records lack User-Name and Class", "error", err)
	}
}
