# Completions of bash for cbuild. Nothing else is needed: `source <(cbuild completion bash)`.

_cbuild()
{
    # What is on the line before the cursor, as words without their quotes. Bash's own words end at : and =, which labels and
    # variables hold, and cbuild shall see what it will be called with.
    local line=${COMP_LINE:0:COMP_POINT} words=() word= quote= begun= c i
    for ((i = 0; i < ${#line}; i++)); do
        c=${line:i:1}
        if [[ $quote == "'" && $c != "'" ]]; then
            word+=$c
        elif [[ $c == \\ ]]; then
            i=$((i + 1)) word+=${line:i:1} begun=1
        elif [[ $quote && $c == "$quote" ]]; then
            quote=
        elif [[ $quote ]]; then
            word+=$c
        elif [[ $c == [\'\"] ]]; then
            quote=$c begun=1
        elif [[ $c == [[:space:]] ]]; then
            [[ $begun ]] && words+=("$word")
            word= begun=
        else
            word+=$c begun=1
        fi
    done
    # Assignments may stand before the command.
    while ((${#words[@]} > 1)) && [[ ${words[0]} == *=* ]]; do
        words=("${words[@]:1}")
    done
    local program=${words[0]/#\~\//$HOME/}
    type -P "$program" > /dev/null || program=cbuild # an alias

    # Of --flag=value the value is completed.
    local out directive=0 found=() abouts=() value=$word
    [[ $word == --*=* ]] && value=${word#--*=}
    out=$(command "$program" COMPLETE "${words[@]:1}" "$word" 2> /dev/null) || return
    while IFS= read -r line; do
        if [[ $line =~ ^:[0-9]+$ ]]; then
            directive=${line:1}
        elif [[ $line == "$value"* && $line != _activeHelp_* ]]; then
            found+=("${line%%$'\t'*}")
            [[ $line == *$'\t'?* ]] && abouts+=("${line#*$'\t'}") || abouts+=("")
        fi
    done <<< "$out"

    COMPREPLY=()
    ((directive & 1)) && return
    ((directive & 2)) && compopt -o nospace
    ((directive & 32)) && compopt -o nosort 2> /dev/null
    if ((directive & 16)); then
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -d -- "$value")
        return
    fi
    if ((${#found[@]} == 0)); then
        ((directive & 4)) || compopt -o default
        return
    fi

    # Bash puts what is found in the place of its own word, which began behind the last : or = that is not quoted.
    local front= longest=0 rest
    for c in : =; do
        rest=${value##*"$c"}
        if [[ ! $quote && $COMP_WORDBREAKS == *$c* ]] && ((${#value} - ${#rest} > ${#front})); then
            front=${value:0:${#value}-${#rest}}
        fi
    done
    for i in "${!found[@]}"; do
        found[i]=${found[i]#"$front"}
        ((${#found[i]} > longest)) && longest=${#found[i]}
    done
    if ((${#found[@]} == 1)); then
        [[ $quote ]] || printf -v 'found[0]' %q "${found[0]}"
    elif ((COMP_TYPE != 37 && COMP_TYPE != 42)); then
        for i in "${!found[@]}"; do # a list that is read; what they have in common is what is inserted
            [[ ${abouts[i]} ]] && printf -v 'found[i]' '%-*s  (%s)' "$longest" "${found[i]}" "${abouts[i]:0:$((COLUMNS > longest + 20 ? COLUMNS - longest - 6 : 40))}"
        done
    fi
    COMPREPLY=("${found[@]}")
}

complete -F _cbuild cbuild
