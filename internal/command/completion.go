package command

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"
)

// Both scripts ask the binary itself what could come next, by a flag that the
// cli package understands, but not behind "--": there it would be one more message,
// and sent. So "--" alone is asked about as "-".
const (
	bashCompletion = `_complete_%[2]s() {
  local cur=${COMP_WORDS[COMP_CWORD]} word
  for word in "${COMP_WORDS[@]:0:COMP_CWORD}"; do
    if [[ $word == -- ]]; then return; fi
  done
  word=$cur; if [[ $word == -- ]]; then word=-; fi
  COMPREPLY=($(compgen -W "$("${COMP_WORDS[@]:0:COMP_CWORD}" ${word:+"$word"} --generate-bash-completion 2>/dev/null)" -- "$cur"))
}
complete -o default -F _complete_%[2]s %[1]s
`
	zshCompletion = `#compdef %[1]s
_complete_%[2]s() {
  local -a choices
  local word=${words[CURRENT]}
  if (( ${words[(ie)--]} < CURRENT )); then _files; return; fi
  if [[ $word == -- ]]; then word=-; fi
  choices=(${(f)"$(${words[1,CURRENT-1]} $word --generate-bash-completion 2>/dev/null)"})
  _describe choice choices || _files
}
compdef _complete_%[2]s %[1]s
`
)

// completes reports whether a script asks what could come next. The environment
// has no part in the answer then, and the cli package would crash over a
// variable that holds no value of its flag.
func completes(argv []string) bool {
	return argv[len(argv)-1] == "--generate-bash-completion"
}

func writeCompletion(w io.Writer, app *cli.App, shell string) error {
	name := strings.ReplaceAll(app.Name, "-", "_")
	switch shell {
	case "bash":
		_, err := fmt.Fprintf(w, bashCompletion, app.Name, name)
		return err
	case "zsh":
		_, err := fmt.Fprintf(w, zshCompletion, app.Name, name)
		return err
	case "fish":
		script, err := app.ToFishCompletion()
		if err != nil {
			return fmt.Errorf("completion for fish: %w", err)
		}
		_, err = io.WriteString(w, script)
		return err
	}
	return UsageErrorf("--completion %q: want bash, zsh or fish", shell)
}
