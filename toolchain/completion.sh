# Completion of `make` and `python -m components.operate` in this checkout, for bash and zsh: targets and verbs, machines,
# groups and stacks. In the shell that you work in: source toolchain/completion.sh
# shellcheck shell=bash disable=SC2046,SC2207 # words have no spaces

if [ -n "${ZSH_VERSION-}" ]; then
  autoload -U +X compinit && compinit -u
  eval '_flatcar_root=${${(%):-%x}:A:h:h}'
else
  _flatcar_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
fi

_flatcar_names() { # machines, groups or stacks; then the stack's name, if that is known
  (cd "$_flatcar_root" && .venv/bin/python -m components.operate.names "$@") 2>/dev/null
}

# What was written before the cursor, in words of the shell: bash makes three of MACHINE=web.
_flatcar_words() {
  _flatcar_before=()
  local word joined=no number
  for ((number = 0; number <= COMP_CWORD; number++)); do
    word=${COMP_WORDS[number]}
    if [ "$number" -gt 0 ] && { [ "$word" = = ] || [ "$joined" = yes ]; }; then
      _flatcar_before[${#_flatcar_before[@]} - 1]+=$word
      if [ "$word" = = ]; then joined=yes; else joined=no; fi
    else
      _flatcar_before+=("$word")
      joined=no
    fi
  done
  _flatcar_current=${_flatcar_before[${#_flatcar_before[@]} - 1]}
}

_flatcar_offer() { # what stands before the names, then these
  local before=$1 name
  shift
  if [ -z "${ZSH_VERSION-}" ] && [ -n "$before" ]; then
    COMPREPLY=($(compgen -W "$*" -- "${_flatcar_current#"$before"}"))
    return
  fi
  COMPREPLY=()
  for name in "$@"; do
    case $before$name in
    "$_flatcar_current"*=) COMPREPLY+=("$before$name") ;;
    "$_flatcar_current"*) COMPREPLY+=("$before$name${ZSH_VERSION:+ }") ;; # bash ends the word itself
    esac
  done
}

_flatcar_make() {
  [ "$PWD" -ef "$_flatcar_root" ] || return 0
  _flatcar_words
  local word stack=local
  for word in "${_flatcar_before[@]}"; do
    case $word in STACK=*) stack=${word#STACK=} ;; esac
  done
  case $_flatcar_current in
  MACHINE=*) _flatcar_offer MACHINE= $(_flatcar_names machines "$stack") ;;
  MACHINES=*) _flatcar_offer MACHINES= $(_flatcar_names machines "$stack") ;;
  GROUP=*) _flatcar_offer GROUP= $(_flatcar_names groups "$stack") ;;
  STACK=*) _flatcar_offer STACK= $(_flatcar_names stacks) ;;
  *=*) ;;
  *)
    _flatcar_offer "" $(sed -n 's/^\([a-z]*\):.*## .*/\1/p' "$_flatcar_root/Makefile") \
      ARGS= COMMAND= GROUP= MACHINE= STACK= TIERS= TO= YES=1
    if [ "${#COMPREPLY[@]}" = 1 ] && [ -z "${ZSH_VERSION-}" ]; then
      case ${COMPREPLY[0]} in *=) compopt -o nospace ;; esac
    fi
    ;;
  esac
}

_flatcar_operate() {
  _flatcar_words
  [ "${_flatcar_before[1]-} ${_flatcar_before[2]-}" = "-m components.operate" ] || return 0
  local previous=${_flatcar_before[${#_flatcar_before[@]} - 2]} word last="" stack=""
  for word in "${_flatcar_before[@]}"; do
    if [ "$last" = --stack ]; then stack=$word; fi
    last=$word
  done
  case $previous in
  components.operate)
    _flatcar_offer "" up preview audit status ssh exec console logs history restart reprovision rollback
    ;;
  --stack) _flatcar_offer "" $(_flatcar_names stacks) ;;
  --group) _flatcar_offer "" $(_flatcar_names groups "$stack") ;;
  *)
    case $_flatcar_current in
    -*) _flatcar_offer "" --stack --group --to -- ;;
    *) _flatcar_offer "" $(_flatcar_names machines "$stack") ;;
    esac
    ;;
  esac
}

if [ -n "${ZSH_VERSION-}" ]; then
  _flatcar_as_in_bash() { emulate -L ksh && "_flatcar_$1"; }
  _flatcar_in_zsh() { # bashcompinit would end all words in the same way, and the names of files too
    local COMP_CWORD=$((CURRENT - 1)) COMP_WORDS COMPREPLY
    COMP_WORDS=("${words[@]}")
    _flatcar_as_in_bash "$1"
    if [ "${#COMPREPLY[@]}" = 0 ]; then _default; else compadd -Q -S "" -a COMPREPLY; fi
  }
  compdef "_flatcar_in_zsh make" make
  compdef "_flatcar_in_zsh operate" python python3
else
  complete -o bashdefault -o default -F _flatcar_make make
  complete -o bashdefault -o default -F _flatcar_operate python python3
fi
