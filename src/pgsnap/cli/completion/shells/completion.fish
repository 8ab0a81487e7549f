function __pgsnap_complete
    set -l words (commandline -opc)
    set -l typed (commandline -ct)
    set -l program (string replace -r '^~/' "$HOME/" -- $words[1])
    set -l lines (@VARIABLE@=fish $program -- $words[2..-1] "$typed" 2>/dev/null </dev/null)
    set -l option ""
    if string match -qr -- "^--[^=]+=" "$typed"
        set option (string replace -r "=.*" "=" -- "$typed")
    end
    switch "$lines[1]"
        case files
            __fish_complete_path (string replace -- "$option" '' "$typed")
        case folders
            __fish_complete_directories (string replace -- "$option" '' "$typed")
        case '*'
            for line in $lines[2..-1]
                printf '%s%s\n' "$option" "$line"
            end
    end
end
for name in @NAMES@
    complete -c $name -f -k -a '(__pgsnap_complete)'
end
