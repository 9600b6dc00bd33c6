"""Verdicts on the fields of environment variables. How to change one: ``verdict``."""

from __future__ import annotations

from podspace.kube.fields.verdict import Types, honoured, kept

_VARIABLES = "conformance/pods/test_environment.py::test_variables"
_OBJECTS = "unit/node/test_environment.py::test_config_maps_and_secrets_are_read_by_key"
_FILE = "conformance/pods/test_volumes.py::test_variables_are_read_from_a_file_that_an_init_container_wrote"
_KEY = "unit/node/test_environment.py::test_a_key_of_a_file_in_a_volume_is_read"
_OPTIONAL = "unit/node/test_environment.py::test_an_optional_reference_that_is_missing_leaves_the_variable_out"

TYPES: Types = {
    "ConfigMapEnvSource": {
        "name": honoured(_VARIABLES),
        "optional": honoured(_VARIABLES),
    },
    "ConfigMapKeySelector": {
        "key": honoured(_OBJECTS),
        "name": honoured(_OBJECTS),
        "optional": honoured(_OPTIONAL),
    },
    "EnvFromSource": {
        "configMapRef": honoured(_VARIABLES),
        "prefix": honoured(_VARIABLES),
        "secretRef": honoured(_VARIABLES),
    },
    "EnvVar": {
        "name": honoured(_VARIABLES),
        "value": honoured(_VARIABLES),
        "valueFrom": honoured(_VARIABLES),
    },
    "EnvVarSource": {
        "configMapKeyRef": honoured(_VARIABLES),
        "fieldRef": honoured(_VARIABLES),
        "fileKeyRef": honoured(_FILE),
        "resourceFieldRef": honoured(_VARIABLES),
        "secretKeyRef": honoured(_VARIABLES),
    },
    "FileKeySelector": {
        "key": honoured(_FILE),
        "optional": honoured(_KEY),
        "path": honoured(_FILE),
        "volumeName": honoured(_FILE),
    },
    "ObjectFieldSelector": {
        "apiVersion": kept("v1 is the only version there is."),
        "fieldPath": honoured(_VARIABLES),
    },
    "ResourceFieldSelector": {
        "containerName": honoured("conformance/pods/test_environment.py::test_volumes_made_of_objects"),
        "divisor": honoured(_VARIABLES),
        "resource": honoured(_VARIABLES),
    },
    "SecretEnvSource": {
        "name": honoured(_VARIABLES),
        "optional": honoured(_VARIABLES),
    },
    "SecretKeySelector": {
        "key": honoured(_OBJECTS),
        "name": honoured(_OBJECTS),
        "optional": honoured(_OPTIONAL),
    },
}
