for f in *.fish
    source $f; or exit
end
while read -l line
    echo "> $line"
    complete -C "$line" | string replace -r '\t.*' ''
end <lines
