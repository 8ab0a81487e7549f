_pgsnap_complete() {
    # Bash cuts words at colons and others, which tags have: put them together again.
    local left=${COMP_LINE:0:COMP_POINT} gap word i breaks= mark
    local -a words=() found=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        gap=${left%%[![:space:]]*}
        left=${left#"$gap"}
        if ((i < COMP_CWORD)); then
            word=${COMP_WORDS[i]}
            left=${left#"$word"}
        else
            word=$left
        fi
        if ((i == 0)) || [[ -n $gap ]]; then
            words+=("$word")
        else
            words[${#words[@]}-1]+=$word
        fi
    done
    local typed=${words[${#words[@]}-1]} program=${words[0]/#\~\//$HOME/} kind= value about head=
    [[ $typed == --*=* ]] && typed=${typed#*=}
    for mark in : = @; do
        [[ $COMP_WORDBREAKS == *"$mark"* ]] && breaks+=$mark
    done
    [[ -n $breaks ]] && head=${typed%"${typed##*[$breaks]}"}
    COMPREPLY=()
    while IFS=$'\t' read -r value about; do
        if [[ -z $kind ]]; then
            kind=$value
            continue
        fi
        # Where a quote is open, bash closes it.
        [[ $typed == [\"\']* ]] || value=$(printf %q "$value")
        COMPREPLY+=("${value#"$head"}")
    done < <(@VARIABLE@=bash "$program" -- "${words[@]:1}" 2>/dev/null </dev/null)
    if [[ $kind == files || $kind == folders ]]; then
        compopt -o filenames 2>/dev/null
        mark=-f
        [[ $kind == folders ]] && mark=-d
        while IFS= read -r value; do COMPREPLY+=("$value"); done < <(compgen "$mark" -- "$typed")
    elif [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[=/] ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
complete -F _pgsnap_complete @NAMES@
