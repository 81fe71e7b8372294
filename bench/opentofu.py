"""The machines of the engine's rows for OpenTofu: the same template and variables, three resources for each machine.

Its providers can't be had everywhere, so the resources are OpenTofu's own `terraform_data`: an object, a machine and a
re-run that a new config id replaces. Its config step is `yamldecode` and `jsonencode`: it checks nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Sample, process

MAIN = """\
variable "machines" {
  type = map(map(string))
}

locals {
  configs = {
    for name, own in var.machines : name => jsonencode(yamldecode(templatefile("${path.module}/template.yaml", own)))
  }
}

resource "terraform_data" "object" {
  for_each = local.configs
  input    = each.value
}

resource "terraform_data" "machine" {
  for_each = local.configs
  input    = "tftp://10.0.2.2/${terraform_data.object[each.key].id}.ign"
}

resource "terraform_data" "reprovision" {
  for_each         = local.configs
  input            = terraform_data.machine[each.key].output
  triggers_replace = [sha512(each.value), "reset"]
}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tofu:
    """A folder in which all resources have been made."""

    program: str
    folder: Path

    @classmethod
    def make(cls, program: str, folder: Path, template: str, machines: Mapping[str, Mapping[str, str]]) -> Tofu:
        """Make the resources. Raises BenchError when OpenTofu fails."""
        made = cls(program=program, folder=folder)
        folder.mkdir()
        (folder / "main.tf").write_text(MAIN)
        (folder / "template.yaml").write_text(template)
        made.change(machines)
        process([program, "init", "-no-color"], cwd=folder)
        made.apply()
        return made

    def change(self, machines: Mapping[str, Mapping[str, str]]) -> None:
        """Write the variables of all machines, as they are to be."""
        (self.folder / "terraform.tfvars.json").write_text(json.dumps({"machines": machines}))

    def plan(self) -> Sample:
        """A plan without a change: anything else fails."""
        return process([self.program, "plan", "-no-color", "-detailed-exitcode"], cwd=self.folder)

    def apply(self) -> Sample:
        """One `tofu apply`."""
        return process([self.program, "apply", "-no-color", "-auto-approve"], cwd=self.folder)
