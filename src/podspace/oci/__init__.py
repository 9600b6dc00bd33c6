"""The programs we drive: crun or runc, conmon; and the OCI runtime-spec as pure functions."""
