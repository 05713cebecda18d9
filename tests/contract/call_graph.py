"""Which operations of AWS a handler can come to call, read from the source without running it.

handler -> functions of emr_pipelines, by the names they refer to -> methods of gateways, by the annotations of
variables, of the fields of a set of gateways, and of what its methods return (a Protocol stands for every gateway that
has it for a base) -> operations of boto3, by their names.
"""

import ast
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import botocore.session
from botocore import xform_name

from tests.contract.cloud import FUNCTIONS

_GATEWAYS = "emr_pipelines.gateways."
# What boto3 adds to the operations themselves, and what stands in a transaction.
_CONVENIENCES = {"dynamodb": {"batch_writer": "BatchWriteItem", "Put": "PutItem", "Delete": "DeleteItem"}}
_IAM_PREFIXES = {"emr": "elasticmapreduce", "stepfunctions": "states"}
_IAM_ACTIONS = {"s3:ListObjectsV2": "s3:ListBucket"}
_WITHOUT_ACTION = {"dynamodb:TransactWriteItems"}  # the actions are those of the writes in it


class Kind(NamedTuple):
    """A class, and the module that it is in."""

    module: str
    name: str


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
            target.id: node.value.func
            for node in body
            if isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Call)
            and isinstance(node.value.func, ast.Name)
            for target in node.targets
            if isinstance(target, ast.Name)
        }

    def gateway_of(self, expression: ast.expr, function: ast.FunctionDef) -> Kind | None:
        """Return the gateway, or set of them, that an expression is: a variable, a field of one, or what it returns."""
        match expression:
            case ast.Name():
                return self._gateway_of_variable(expression, function)
            case ast.Attribute(value=owner, attr=member):
                kind = self.gateway_of(owner, function)
                return module(kind.module).member(kind.name, member) if kind else None
            case ast.Call(func=called):
                return self.gateway_of(called, function)
        return None

    def member(self, kind: str, name: str) -> Kind | None:
        """Return the gateway that a field of a class is, or that a method of it returns."""
        for node in self.classes[kind].body:
            if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == name:
                return self._gateway(node.annotation)
            if isinstance(node, ast.FunctionDef) and node.name == name:
                return self._gateway(node.returns)
        bases = filter(None, map(self._gateway, self.classes[kind].bases))
        return next(filter(None, (module(base.module).member(base.name, name) for base in bases)), None)

    def _gateway_of_variable(self, variable: ast.Name, function: ast.FunctionDef) -> Kind | None:
        """Return the gateway of a parameter, of what was assigned above, or of a variable of the module."""
        for argument in (*function.args.args, *function.args.kwonlyargs):
            if argument.arg == variable.id:
                return self._gateway(argument.annotation)
        for node in ast.walk(function):
            match node:
                case ast.AnnAssign(target=ast.Name(id=variable.id)):
                    return self._gateway(node.annotation)
                case ast.Assign(targets=[ast.Name(id=variable.id)]) if node.lineno < variable.lineno:
                    return self.gateway_of(node.value, function)
        return self._gateway(self.variables.get(variable.id))

    def _gateway(self, annotation: ast.expr | None) -> Kind | None:
        """Return the class of an annotation when it is one of the gateways."""
        if not isinstance(annotation, ast.Name):
            return None
        where = self.name if annotation.id in self.classes else self.imports.get(annotation.id) or ""
        return Kind(where, annotation.id) if where.startswith(_GATEWAYS) else None


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
        if isinstance(node, ast.Attribute):
            gateway = where.gateway_of(node.value, function)
            if gateway:
                yield gateway.module, gateway.name, node.attr
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
