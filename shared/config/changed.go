package config

import "log/slog"

// WarnFixed says which variables have another value in their file than the
// one in effect, and keep that one because they cannot be reloaded.
func WarnFixed(log *slog.Logger, old, reread []Variable) {
	for i, v := range reread {
		if i < len(old) && !v.Reload && v.Value != old[i].Value {
			log.Warn("changed, and in effect only after a restart", "variable", v.Name, "file", v.Source)
		}
	}
}
