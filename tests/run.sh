#!/usr/bin/env bash
# The tests, from nothing: makes a virtual environment in .venv/, starts MinIO unless a server answers
# already, runs pytest with the arguments given here, and stops the MinIO that it started.
#
#     bash tests/run.sh                   everything but what takes minutes
#                                         (in two processes at once; S3VFS_TEST_PROCESSES says how many)
#     bash tests/run.sh -m long           what takes minutes
#     bash tests/run.sh tests/vfs -x      as pytest has it
#
# S3VFS_MINIO_ADDRESS, S3VFS_MINIO_ACCESS_KEY and S3VFS_MINIO_SECRET_KEY choose another server, see
# start-minio.sh.
set -eu

cd "$(dirname "$0")/.."
python=$(sh .ci/environment dev)

address=${S3VFS_MINIO_ADDRESS:-localhost:9000}
if ! (exec 3<>"/dev/tcp/${address%:*}/${address##*:}") 2>/dev/null; then
    # Nobody listens there: what will is ours, and goes when this script does, however it ends.
    trap 'bash ./stop-minio.sh' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
fi
bash ./start-minio.sh

export S3VFS_REQUIRE_MINIO=1
export S3VFS_TEST_ENDPOINT=http://$address
export S3VFS_TEST_ACCESS_KEY=${S3VFS_MINIO_ACCESS_KEY:-AKIAIDIDIDIDIDIDIDID}
export S3VFS_TEST_SECRET_KEY=${S3VFS_MINIO_SECRET_KEY:-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}
[ "$#" -gt 0 ] || set -- -m "not long" -n "${S3VFS_TEST_PROCESSES:-2}" --dist loadgroup
"$python" -m pytest "$@"
