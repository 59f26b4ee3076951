package config

import "log/slog"

// Warn logs the warnings of a configuration, at the start and after each reload.
func Warn(log *slog.Logger, warnings []string) {
	for _, w := range warnings {
		log.Warn("configuration", "warning", w)
	}
}

// WarnFixed logs the variables whose file has another value than the one in effect, and which
// cannot be reloaded.
func WarnFixed(log *slog.Logger, old, reread []Variable) {
	for i, v := range reread {
		if i < len(old) && !v.Reload && v.Value != old[i].Value {
			log.Warn("changed, and in effect only after a restart", "variable", v.Name, "file", v.Source)
		}
	}
}

// WarnNoFiles warns if a reload cannot change anything, because no variable that it reads again
// comes from a file.
func WarnNoFiles(log *slog.Logger, reread []Variable) {
	for _, v := range reread {
		if v.Reload && v.Source != "" && v.Source != v.Name {
			return
		}
	}
	log.Warn("the reload has changed no variable, as none comes from a file: " +
		"put a value into a file and name that in the variable with _FILE behind its name, or restart")
}
