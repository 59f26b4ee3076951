# What bash offers, by the function that it has for the first word of a line.
for f in dhcp*; do source "./$f" || exit; done
while IFS= read -r line; do
	printf '> %s\n' "$line"
	read -ra COMP_WORDS <<<"$line"
	[[ $line == *' ' ]] && COMP_WORDS+=('')
	COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
	COMPREPLY=()
	f=$(complete -p "${COMP_WORDS[0]}") || exit
	f=${f##*-F }
	"${f%% *}"
	printf '%s\n' "${COMPREPLY[@]}"
done <lines
