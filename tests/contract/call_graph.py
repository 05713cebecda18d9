"""Which operations of AWS a handler can come to call, read from the source without running it.

handler -> functions of emr_pipelines, by the names they refer to -> methods of gateways, by the annotation of the
variable (a Protocol stands for every gateway that has it for a base) -> operations of boto3, by their names.
"""

import ast
from collections.abc import Iterator
from functools import cache

import botocore.session
from botocore import xform_name

from tests.contract.cloud import FUNCTIONS

_GATEWAYS = "emr_pipelines.gateways."
# What boto3 adds to the operations themselves, and what stands in a transaction.
_CONVENIENCES = {"dynamodb": {"batch_writer": "BatchWriteItem", "Put": "PutItem", "Delete": "DeleteItem"}}
_IAM_PREFIXES = {"emr": "elasticmapreduce", "stepfunctions": "states"}
_IAM_ACTIONS = {"s3:ListObjectsV2": "s3:ListBucket"}
_WITHOUT_ACTION = {"dynamodb:TransactWriteItems"}  # the actions are those of the writes in it


class Module:
    """The names of one source file."""

    def __init__(self, name: str) -> None:
        path = FUNCTIONS.joinpath(*name.split(".")).with_suffix(".py")
        body = ast.parse(path.read_text()).body
        self.name = name
        self.functions = {node.name: node for node in body if isinstance(node, ast.FunctionDef)}
        self.classes = {node.name: node for node in body if isinstance(node, ast.ClassDef)}
        self.imports = {
            alias.name: node.module for node in body if isinstance(node, ast.ImportFrom) for alias in node.names
        }
        self.variables = {
            target.id: node.value.func.id
            for node in body
            if isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Call)
            and isinstance(node.value.func, ast.Name)
            for target in node.targets
            if isinstance(target, ast.Name)
        }

    def gateway_of(self, variable: str, function: ast.FunctionDef) -> str | None:
        """Return the gateway class of a variable, be it a parameter or one of the module."""
        arguments = [*function.args.args, *function.args.kwonlyargs]
        annotations = {a.arg: a.annotation.id for a in arguments if isinstance(a.annotation, ast.Name)}
        kind = annotations.get(variable) or self.variables.get(variable)
        return kind if kind and (self.imports.get(kind) or "").startswith(_GATEWAYS) else None


@cache
def module(name: str) -> Module:
    """Return a module under functions/."""
    return Module(name)


def actions_of(folder: str) -> set[str]:
    """Return the IAM actions of everything that a function can call."""
    return {
        action
        for gateway_module, gateway, method in _methods(module(f"{folder}.app"), "handler", set())
        for implementing_module, implementation in _implementations(gateway_module, gateway)
        for action in _actions(implementing_module, implementation, method, set())
    }


@cache
def _implementations(gateway_module: str, gateway: str) -> list[tuple[str, str]]:
    """Return module and class of a gateway, or of every gateway that implements it when it is a Protocol."""
    if "Protocol" not in map(ast.unparse, module(gateway_module).classes[gateway].bases):
        return [(gateway_module, gateway)]
    names = [f"{_GATEWAYS}{path.stem}" for path in FUNCTIONS.joinpath(*_GATEWAYS.strip(".").split(".")).glob("*.py")]
    return [
        (name, kind)
        for name in names
        for kind, node in module(name).classes.items()
        if gateway in map(ast.unparse, node.bases)
    ]


def _methods(where: Module, name: str, seen: set[tuple[str, str]]) -> Iterator[tuple[str, str, str]]:
    """Yield module, class and name of every gateway method that a function reaches."""
    if (where.name, name) in seen:
        return
    seen.add((where.name, name))
    function = where.functions[name]
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            gateway = where.gateway_of(node.value.id, function)
            if gateway:
                yield str(where.imports[gateway]), gateway, node.attr
        elif isinstance(node, ast.Name) and node.id in where.functions:
            yield from _methods(where, node.id, seen)
        elif isinstance(node, ast.Name) and (where.imports.get(node.id) or "").startswith("emr_pipelines."):
            imported = module(str(where.imports[node.id]))
            if node.id in imported.functions:
                yield from _methods(imported, node.id, seen)


def _actions(gateway_module: str, gateway: str, method: str, seen: set[tuple[str, str]]) -> Iterator[str]:
    """Yield the IAM action of every operation that a gateway method names, itself or by a method it calls."""
    where = module(gateway_module)
    methods = {node.name: node for node in where.classes[gateway].body if isinstance(node, ast.FunctionDef)}
    # A class without it is what a gateway returns; a method that is not here is inherited from Exception and such.
    if (gateway, method) in seen or not {"__init__", method} <= methods.keys():
        return
    seen.add((gateway, method))
    service = _service(methods["__init__"])
    operations = _operations(service)
    inner = _inner_gateways(where, methods["__init__"])
    for node in ast.walk(methods[method]):
        name = node.attr if isinstance(node, ast.Attribute) else node.value if isinstance(node, ast.Constant) else None
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in inner:
            yield from _actions(*inner[ast.unparse(node.value)], node.attr, seen)
        elif isinstance(name, str) and name in operations:
            action = f"{_IAM_PREFIXES.get(service, service)}:{operations[name]}"
            if action not in _WITHOUT_ACTION:
                yield _IAM_ACTIONS.get(action, action)
        elif isinstance(name, str) and name in methods and isinstance(node, ast.Attribute):
            yield from _actions(gateway_module, gateway, name, seen)


def _inner_gateways(where: Module, init: ast.FunctionDef) -> dict[str, tuple[str, str]]:
    """Return module and class of the gateways that a gateway keeps, by expressions like `self._table`."""
    return {
        ast.unparse(node.targets[0]): (str(where.imports[node.value.func.id]), node.value.func.id)
        for node in ast.walk(init)
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Name)
        and (where.imports.get(node.value.func.id) or "").startswith(_GATEWAYS)
        and node.value.func.id[0].isupper()
    }


def _service(init: ast.FunctionDef) -> str:
    """Return the service of `client("service")`, or that of the table resource."""
    for node in ast.walk(init):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "client":
            return str(ast.literal_eval(node.args[0]))
    return "dynamodb"


@cache
def _operations(service: str) -> dict[str, str]:
    """Return the operations of a service by their names in boto3."""
    names = botocore.session.get_session().get_service_model(service).operation_names
    return {xform_name(name): name for name in names} | _CONVENIENCES.get(service, {})
