"""IAM: roles, their inline policies, and the instance profiles that hand a role to a machine."""

from __future__ import annotations

import json
import urllib.parse
from typing import Any

from botocore.exceptions import ClientError
from pulumi_aws import iam

from toolchain.plugins.aws.clients import Clients, OnAws, all_tags, tag_list
from toolchain.plugins.base import Call, Properties, ProviderError
from toolchain.plugins.bridge import Bridged
from toolchain.plugins.objects import asked, is_gone


def role_types(clients: Clients) -> list[Bridged]:
    """All types of this file."""
    return [Role(clients), RolePolicy(clients), InstanceProfile(clients)]


class Role(OnAws):
    """A role and who may take it on."""

    sdk = iam.Role
    automatic_name = "name"
    replace_on = frozenset({"name", "namePrefix", "path"})
    filled_in = frozenset({"path", "maxSessionDuration", "managedPolicyArns", "inlinePolicies"})

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        name = str(inputs["name"])
        made = asked(
            lambda: self.clients.iam.create_role(
                RoleName=name, AssumeRolePolicyDocument=inputs["assumeRolePolicy"], Tags=tag_list(inputs.get("tags"))
            )
        )["Role"]
        return name, {"arn": made["Arn"], "uniqueId": made["RoleId"], **all_tags(inputs)}

    def update(self, call: Call, id_: str, state: Properties, inputs: Properties) -> Properties:
        asked(
            lambda: self.clients.iam.update_assume_role_policy(
                RoleName=id_, PolicyDocument=str(inputs["assumeRolePolicy"])
            )
        )
        asked(lambda: self.clients.iam.tag_role(RoleName=id_, Tags=tag_list(inputs.get("tags"))))
        return {"arn": state["arn"], "uniqueId": state["uniqueId"], **all_tags(inputs)}

    def delete(self, call: Call, id_: str, state: Properties) -> None:
        _unless_gone(lambda: self.clients.iam.delete_role(RoleName=id_))

    def read(self, id_: str, state: Properties) -> Properties | None:
        found = _found(lambda: self.clients.iam.get_role(RoleName=id_))
        if found is None:
            return None
        return {**state, "name": id_, "arn": found["Role"]["Arn"], "uniqueId": found["Role"]["RoleId"]}


class RolePolicy(OnAws):
    """An inline policy of a role; its id is `ROLE:NAME`."""

    sdk = iam.RolePolicy
    automatic_name = "name"
    replace_on = frozenset({"name", "namePrefix", "role"})

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        return f"{inputs['role']}:{inputs['name']}", self.update(call, "", {}, inputs)

    def update(self, call: Call, id_: str, state: Properties, inputs: Properties) -> Properties:
        asked(
            lambda: self.clients.iam.put_role_policy(
                RoleName=str(inputs["role"]), PolicyName=str(inputs["name"]), PolicyDocument=str(inputs["policy"])
            )
        )
        return {}

    def delete(self, call: Call, id_: str, state: Properties) -> None:
        role, _, name = id_.partition(":")
        _unless_gone(lambda: self.clients.iam.delete_role_policy(RoleName=role, PolicyName=name))

    def read(self, id_: str, state: Properties) -> Properties | None:
        role, _, name = id_.partition(":")
        found = _found(lambda: self.clients.iam.get_role_policy(RoleName=role, PolicyName=name))
        if found is None:
            return None
        document = found["PolicyDocument"]
        if isinstance(document, str):
            document = json.loads(urllib.parse.unquote(document))
        # The provider leaves a policy of the same meaning as it was written.
        written = str(state.get("policy", ""))
        same = bool(written) and json.loads(written) == document
        return {**state, "role": role, "name": name, "policy": written if same else json.dumps(document)}


class InstanceProfile(OnAws):
    """An instance profile with its one role."""

    sdk = iam.InstanceProfile
    automatic_name = "name"
    replace_on = frozenset({"name", "namePrefix", "path"})
    filled_in = frozenset({"path"})

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        name = str(inputs["name"])
        made = asked(
            lambda: self.clients.iam.create_instance_profile(
                InstanceProfileName=name, Tags=tag_list(inputs.get("tags"))
            )
        )["InstanceProfile"]
        self._hand_over(name, {}, inputs)
        return name, {"arn": made["Arn"], "uniqueId": made["InstanceProfileId"], **all_tags(inputs)}

    def update(self, call: Call, id_: str, state: Properties, inputs: Properties) -> Properties:
        self._hand_over(id_, state, inputs)
        asked(lambda: self.clients.iam.tag_instance_profile(InstanceProfileName=id_, Tags=tag_list(inputs.get("tags"))))
        return {"arn": state["arn"], "uniqueId": state["uniqueId"], **all_tags(inputs)}

    def _hand_over(self, name: str, state: Properties, inputs: Properties) -> None:
        before, after = state.get("role"), inputs.get("role")
        if before == after:
            return
        client = self.clients.iam
        if before:
            asked(lambda: client.remove_role_from_instance_profile(InstanceProfileName=name, RoleName=str(before)))
        if after:
            asked(lambda: client.add_role_to_instance_profile(InstanceProfileName=name, RoleName=str(after)))

    def delete(self, call: Call, id_: str, state: Properties) -> None:
        self._hand_over(id_, state, {})
        _unless_gone(lambda: self.clients.iam.delete_instance_profile(InstanceProfileName=id_))

    def read(self, id_: str, state: Properties) -> Properties | None:
        found = _found(lambda: self.clients.iam.get_instance_profile(InstanceProfileName=id_))
        if found is None:
            return None
        roles = [role["RoleName"] for role in found["InstanceProfile"]["Roles"]]
        return {**state, "name": id_, "arn": found["InstanceProfile"]["Arn"], **({"role": roles[0]} if roles else {})}


def _found(question: Any) -> Any:
    try:
        return question()
    except ClientError as error:
        if is_gone(error):
            return None
        raise ProviderError(str(error)) from error


def _unless_gone(question: Any) -> None:
    _found(question)
