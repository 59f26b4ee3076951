# zsh completes at a terminal only: another zsh has one, with its completion system, and
# writes what it adds to the list. A key makes it complete all lines.
if [[ $1 != inner ]]; then
	zmodload zsh/zpty || exit
	zpty -b shell zsh -f -i
	zpty -w shell "source $0 inner"
	wait_for() {
		local junk screen n
		for n in {1..1200}; do
			while zpty -r -t shell junk; do screen+=$junk; done
			grep -qxe "$1" out 2>/dev/null && return
			sleep 0.05
		done
		print -ru2 -- "no '$1'; the screen: $screen"
		exit 1
	}
	wait_for '> ready'
	zpty -n -w shell $'\x14'
	wait_for '> end'
	zpty -d shell
	cat out
	cat err >&2
	exit
fi
fpath=($PWD $fpath)
autoload -Uz compinit && compinit -u -D 2>>err
offers() {
	compadd() {
		if [[ ${@[1,(i)(-|--)]} != *-(O|A|D)\ * ]]; then
			local -a hits
			builtin compadd -A hits "$@"
			print -rl -- $hits >>out
		fi
		builtin compadd "$@"
	}
	_main_complete
}
zle -C offers complete-word offers
every_line() {
	local line
	for line in "${(@f)$(<lines)}"; do
		print -r -- "> $line" >>out
		BUFFER=$line CURSOR=$#line
		zle offers 2>>err
	done
	BUFFER=
	print -r -- '> end' >>out
}
zle -N every_line
bindkey '^T' every_line
print -r -- '> ready' >>out
