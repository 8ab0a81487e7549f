(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i }
_pgsnap_complete() {
    local -a before lines values shown
    local line value program=${(Q)words[1]/#\~\//$HOME/}
    before=("${(@)words[2,CURRENT-1]}")
    lines=("${(@f)$(@VARIABLE@=zsh $program -- "${before[@]}" "$PREFIX" 2>/dev/null </dev/null)}")
    [[ $PREFIX == --*=* ]] && compset -P '*='
    case ${lines[1]} in
        files) _files; return ;;
        folders) _files -/; return ;;
    esac
    for line in "${(@)lines[2,-1]}"; do
        value=${line%%$'\t'*}
        [[ -n $value ]] || continue
        values+=("$value")
        shown+=("${line/$'\t'/  -- }")
    done
    (( $#values )) && compadd -l -d shown -a values
}
compdef _pgsnap_complete @NAMES@
