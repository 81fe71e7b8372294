# Two commands: `make up` and `make test`. They set up what they need, and work from a clean clone
# on Debian and Ubuntu; what they do is in toolchain/.
STACK ?= local
TIERS ?= lint unit golden engine vm
ARGS ?=
ROWS ?=
MACHINE ?=
MACHINES ?= $(MACHINE)
TO ?=
GROUP ?=
# As it was given: $HOME in it is for the machine's shell.
override COMMAND := $(value COMMAND)
export COMMAND

toolchain := .venv/bin/python -m toolchain
group = $(if $(GROUP),--group '$(GROUP)')
some = $(MACHINES) $(group)
part = $(if $(MACHINES),--machines '$(MACHINES)') $(group)
.DEFAULT_GOAL := help
.PHONY: up preview destroy audit status ssh exec console logs history restart reprovision rollback test bench lint env clean lock help

up: ## set up, then `pulumi up` (STACK=local; MACHINES="web worker-*" or GROUP=staging; ARGS="--diff"; YES=1 without a terminal)
	@toolchain/bootstrap run
	@$(toolchain) up --stack '$(STACK)' $(part) -- $(ARGS)

preview: ## set up, then `pulumi preview` (MACHINES, GROUP and ARGS as above)
	@toolchain/bootstrap run
	@$(toolchain) preview --stack '$(STACK)' $(part) -- $(ARGS)

destroy: ## take everything down that the stack has (YES=1 as above)
	@toolchain/bootstrap run
	@$(toolchain) destroy --stack '$(STACK)' $(part) -- $(ARGS)

audit: ## tell what has drifted on a stack's machines; changes nothing (MACHINES, GROUP; ARGS="--json")
	@toolchain/bootstrap run
	@set -f; $(toolchain) audit --stack '$(STACK)' -- $(some) -- $(ARGS)

status: ## how the machines are, without asking them (MACHINES, GROUP; ARGS="--html fleet.html", --json, --metrics FILE)
	@toolchain/bootstrap run
	@set -f; $(toolchain) status --stack '$(STACK)' -- $(some) -- $(ARGS)

ssh: ## a session on a machine, with its pinned host key (MACHINE=web, ARGS="-L 8080:localhost:8080")
	@toolchain/bootstrap run
	@$(toolchain) ssh --stack '$(STACK)' -- $(MACHINE) -- $(ARGS)

exec: ## run a command on machines side by side (MACHINES="web worker-*" or GROUP=staging, COMMAND="uptime")
	@toolchain/bootstrap run
	@set -f; $(toolchain) exec --stack '$(STACK)' -- $(some) -- "$$COMMAND"

console: ## follow a machine's console, or tell where it is (MACHINE=web)
	@toolchain/bootstrap run
	@$(toolchain) console --stack '$(STACK)' -- $(MACHINE)

logs: ## a machine's journal (MACHINE=web ARGS="-u web.service -f")
	@toolchain/bootstrap run
	@$(toolchain) logs --stack '$(STACK)' -- $(MACHINE) -- $(ARGS)

history: ## what happened on machines, and what they can go back to (MACHINE=web, all without)
	@toolchain/bootstrap run
	@set -f; $(toolchain) history --stack '$(STACK)' -- $(some)

restart: ## power-cycle a machine in QEMU, reboot another, and prove it (MACHINE=web)
	@toolchain/bootstrap run
	@set -f; $(toolchain) restart --stack '$(STACK)' -- $(some) $(ARGS)

reprovision: ## run the same config again: raise generation in the stack's file, then `make up` (MACHINE=web, YES=1 as above)
	@toolchain/bootstrap run
	@set -f; $(toolchain) reprovision --stack '$(STACK)' -- $(some) -- $(ARGS)

rollback: ## go back to the last good config: pin it in the stack's file, then `make up` (MACHINE=web TO=VERSION, YES=1 as above)
	@toolchain/bootstrap run
	@set -f; $(toolchain) rollback --stack '$(STACK)' -- $(some) $(if $(TO),--to '$(TO)') -- $(ARGS)

test: ## checks and tests (TIERS="unit engine"; "long": many VM boots, "fresh": computers that have nothing; ARGS="-k name")
	@toolchain/bootstrap dev
	@$(toolchain) test --tiers '$(TIERS)' -- $(ARGS)

bench: ## measure (ROWS="1 2 6"; all rows take an hour), see bench/README.md
	@toolchain/bootstrap dev
	@.venv/bin/python -m bench $(ROWS)

lint: ## the checks alone
	@toolchain/bootstrap dev
	@$(toolchain) test --tiers lint

env: ## print the environment for plain `pulumi`: eval "$$(make -s env)"
	@toolchain/bootstrap run
	@$(toolchain) env --stack '$(STACK)'

lock: ## pin pyproject.toml's dependencies anew (ARGS=--upgrade: the newest versions)
	@toolchain/lock $(ARGS)

clean: ## remove what set-up made; refused while a stack has resources
	@if [ -x .venv/bin/python ]; then .venv/bin/python -m toolchain clean; else python3 -m toolchain clean; fi

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { gsub(/[$$]+/, "$$", $$2); printf "make %-11s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
