#!/usr/bin/env bash
#
# Stop the MinIO that start-minio.sh started at the address (S3VFS_MINIO_ADDRESS, localhost:9000) and
# remove its temporary data. Any other server is left alone, and so is a folder given as S3VFS_MINIO_DATA.
# Harmless when nothing runs.

# shellcheck source=start-minio.sh
. "$(dirname "${BASH_SOURCE[0]}")/start-minio.sh"

stop() {
    check_settings
    take_lock "$STATE.lock" $((WAIT_SECONDS + 30)) "starting or stopping MinIO at $URL"
    if server_lives; then
        discard_server
        case $TEMPORARY:$DATA in
            no:?*) say "stopped MinIO at $URL. Its data stays: $DATA" ;;
            *) say "stopped MinIO at $URL and removed its data." ;;
        esac
        return
    fi
    discard_server      # of one that ended by itself: its temporary data is still there
    probe
    case $FOUND in
        nothing) say "nothing to stop: no MinIO runs at $URL" ;;
        *) say "nothing to stop: what answers at $URL was not started by start-minio.sh" ;;
    esac
}

stop
