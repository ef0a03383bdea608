#!/usr/bin/env bash
# Brings a release to the staging server that this runs on, without a dropped request, and takes it back by itself when it is ill.
#
#   deploy/staging.sh                 check, build, back up, migrate, roll, test; the release is this commit
#   deploy/staging.sh --dry-run       only print what would be done
#   deploy/staging.sh check           whether everything is there
#   deploy/staging.sh secrets         make the secrets that are missing; those that are there stay
#   deploy/staging.sh pin             look up the images' digests (deploy/images.tags -> deploy/images.env)
#   deploy/staging.sh rollback        back to the release before; out of a deploy that was killed: to the one that it was to replace
#   deploy/staging.sh status          what runs, and the last deploys
#   deploy/staging.sh compose ...     docker compose with this stack's files, of the release that runs: compose exec web-a ...
#
# Run it again after it was killed: each step finds what is done. No secrets are printed. What deploy/state holds: `current`, the release
# that serves; `before`, the one before it; `next`, while a deploy or a rollback is at work; `schema`, the newest whose migrations ran.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly FILE=docker-compose.staging.yml ENV_FILE=deploy/staging.env IMAGES=deploy/images.env
readonly SECRETS=${SECRETS_FOLDER:-deploy/secrets} STATE=${STATE_FOLDER:-deploy/state}
readonly WEB=(web-a web-b) REST=(worker-short worker-long archive)
readonly WATCHING=(prometheus alertmanager grafana)
readonly ANY_TEXT=(secret_key postgres_password database_password cache_password metrics_token grafana_password s3_access_key
  s3_secret_key mercadopago_emulator_key)
readonly GIVEN=(mercadopago_client_secret mercadopago_webhook_secret mercadopago_access_token)
readonly MAY_BE_EMPTY=(email_url slack_webhook_url heartbeat_url)
readonly HEALTH_SECONDS=${HEALTH_SECONDS:-120} STEADY_SECONDS=${STEADY_SECONDS:-15} NEEDED_GIB=${NEEDED_GIB:-10}

dry='' pooler='' release='' rolled=$SECONDS'' backup=yes started=$SECONDS step='the start'

say() { printf '%s\n' "$*"; }
fail() { printf 'deploy: %s\n' "$*" >&2; exit 1; }
# What changes something: printed instead in a dry run.
run() { if [[ -n $dry ]]; then say "would run: $*"; else "$@"; fi; }
setting() { sed -n "s/^$1=//p" "$ENV_FILE" | tail -n 1; }

# What the pooler's image is made of: the same from release to release, so that a deploy does not cut its connections.
pooler_tag() { { cat deploy/Dockerfile deploy/pgbouncer/pgbouncer.ini; grep -s '^DEBIAN_IMAGE=' "$IMAGES" || true; } | sha256sum | cut -c 1-12; }

compose() {
  COMANDA_RELEASE=${release:-none} POOLER_TAG=$pooler docker compose --env-file "$ENV_FILE" --env-file "$IMAGES" --file "$FILE" "$@"
}

# --- Looking before anything is touched ---------------------------------------------------------------------------------------------

check() {
  local problems=() name
  command -v docker >/dev/null || problems+=("there is no docker. Install Docker Engine with its compose plugin.")
  if command -v docker >/dev/null; then
    docker compose version >/dev/null 2>&1 || problems+=("docker has no compose plugin. Install docker-compose-plugin.")
    docker info >/dev/null 2>&1 || problems+=("the Docker engine does not answer. Start it, or add this user to the group docker.")
  fi
  for name in curl flock git; do command -v "$name" >/dev/null || problems+=("there is no $name. Install it."); done
  if [[ ! -f $ENV_FILE ]]; then
    problems+=("there is no $ENV_FILE. Copy deploy/staging.env.example there and fill it in.")
  else
    check_values
  fi
  if [[ ! -f $IMAGES ]]; then
    problems+=("there is no $IMAGES. Run deploy/staging.sh pin.")
  elif grep -E '^[A-Z]+_IMAGE=' "$IMAGES" | grep -qv '@sha256:[0-9a-f]\{64\}$'; then
    problems+=("an image of $IMAGES has no digest. Run deploy/staging.sh pin again.")
  else
    while read -r name; do
      [[ $'\n'$(<"$IMAGES") == *$'\n'"$name@sha256:"* || $name != [A-Z]* ]] || problems+=("$name is not in $IMAGES. Run deploy/staging.sh pin again.")
    done <deploy/images.tags
  fi
  for name in "${ANY_TEXT[@]}" "${GIVEN[@]}" vault_keys backup_keys pgbouncer_users s3_identities; do
    [[ -s $SECRETS/$name ]] || problems+=("the secret $SECRETS/$name is missing. Run deploy/staging.sh secrets.")
  done
  for name in "${MAY_BE_EMPTY[@]}"; do
    [[ -e $SECRETS/$name ]] || problems+=("the secret $SECRETS/$name is missing. Run deploy/staging.sh secrets.")
  done
  if [[ -d $SECRETS && $(stat -c %a "$SECRETS") != 700 ]]; then problems+=("$SECRETS is open to others. chmod 700 $SECRETS"); fi
  check_what_containers_read
  [[ ! -f $ENV_FILE ]] || check_channels
  local free
  free=$(df --output=avail -BG . | tail -n 1 | tr -dc 0-9)
  ((free >= NEEDED_GIB)) || problems+=("only $free GiB are free on this disk, $NEEDED_GIB are needed. Make room.")
  if ((${#problems[@]} == 0)) && ! compose config --quiet; then problems+=("$FILE does not fit its values: see above."); fi
  if ((${#problems[@]})); then
    printf 'deploy: %s\n' "${problems[@]}" >&2
    exit 1
  fi
  say "Everything is there."
}

check_values() {
  local name url
  for name in PUBLIC_URL BASE_DOMAIN ACME_EMAIL; do
    [[ -n $(setting "$name") ]] || problems+=("$name is empty in $ENV_FILE.")
  done
  url=$(setting PUBLIC_URL)
  [[ $url == "https://$(setting BASE_DOMAIN)" ]] || problems+=("PUBLIC_URL has to be https:// and BASE_DOMAIN; it is $url.")
  while IFS='=' read -r name _; do
    [[ $'\n'$(<"$ENV_FILE") == *$'\n'"$name="* || $name != [A-Z]* ]] || problems+=("$name is not in $ENV_FILE. See deploy/staging.env.example.")
  done <deploy/staging.env.example
  if [[ $(setting PLATFORM_TLS) == files && ! -s deploy/certs/platform.crt ]]; then
    problems+=("PLATFORM_TLS is files, and there is no deploy/certs/platform.crt.")
  fi
}

# They read as users of their own, whom the server does not know.
check_what_containers_read() {
  local closed
  closed=$(find deploy/{alertmanager,caddy,grafana,postgres,prometheus} \( -type f ! -perm -o=r -o -type d ! -perm -o=rx \) -print -quit)
  [[ -z $closed ]] || problems+=("the containers cannot read $closed. chmod -R o+rX deploy/{alertmanager,caddy,grafana,postgres,prometheus}")
  if [[ -f deploy/certs/platform.key && $(stat -c %u deploy/certs/platform.key) != 10001 ]]; then
    problems+=("the proxy cannot read deploy/certs/platform.key. chown 10001 deploy/certs/platform.key && chmod 400 deploy/certs/platform.key")
  fi
}

# A channel that is set up wrongly is a problem; that there is none is said.
check_channels() {
  local told said
  if ! told=$(SECRETS_FOLDER=$SECRETS OPS_EMAILS=$(setting OPS_EMAILS) MAIL_FROM=$(setting MAIL_FROM) \
    BASE_DOMAIN=$(setting BASE_DOMAIN) sh deploy/alertmanager/start.sh print 2>&1); then
    said=$(sed -n 's/^alertmanager: //p' <<<"$told")
    problems+=("${said:-deploy/alertmanager/start.sh fails.}")
  fi
  [[ $told == *_configs:* ]] || say "Nobody is told of alerts: fill in $SECRETS/slack_webhook_url, or $SECRETS/email_url and OPS_EMAILS."
  [[ $told == *webhook_configs:* ]] || say "Nobody notices when alerts stop coming: give $SECRETS/heartbeat_url (docs/staging.md)."
}

# --- Preparing a server -------------------------------------------------------------------------------------------------------------

random_text() { head -c 36 /dev/urandom | base64 -w 0 | tr '+/' '-_' | tr -d '='; }

make_secrets() {
  install -d -m 700 "$SECRETS"
  install -d -m 755 deploy/certs
  local name
  for name in "${ANY_TEXT[@]}"; do keep "$name" "$(random_text)$(random_text)"; done
  keep vault_keys "$(head -c 32 /dev/urandom | base64 -w 0 | tr '+/' '-_')"
  keep pgbouncer_users "\"comanda\" \"$(<"$SECRETS/database_password")\""
  keep cache_config "requirepass $(<"$SECRETS/cache_password")"
  keep s3_identities "{\"identities\": [{\"name\": \"comanda\", \"credentials\": [{\"accessKey\": \"$(<"$SECRETS/s3_access_key")\", \
\"secretKey\": \"$(<"$SECRETS/s3_secret_key")\"}], \"actions\": [\"Admin\", \"Read\", \"Write\", \"List\", \"Tagging\"]}]}"
  for name in "${GIVEN[@]}"; do
    if [[ ! -s $SECRETS/$name ]]; then
      if [[ $(setting MORE_SITES) == stand-in ]]; then keep "$name" "$(random_text)"
      else say "Put Mercado Pago's own into $SECRETS/$name"; fi
    fi
  done
  for name in "${MAY_BE_EMPTY[@]}"; do
    [[ -e $SECRETS/$name ]] || { : >"$SECRETS/$name"; chmod 644 "$SECRETS/$name"; say "made $SECRETS/$name, empty: nobody is told by it"; }
  done
  if [[ ! -s $SECRETS/backup_keys ]]; then
    local key
    build
    key=$(docker run --rm --network none "comanda:$release" python -c 'from pyrage import x25519; print(x25519.Identity.generate())') ||
      fail "no key for backups could be made: see above."
    [[ $key == AGE-SECRET-KEY-1* ]] || fail "what was made is no key for backups."
    keep backup_keys "$key"
  fi
  say "The secrets are in $SECRETS. Keep copies of vault_keys and backup_keys elsewhere: without them no backup can be read."
}

# Whole or not at all. Containers of several users read it; nobody else comes through the folder.
keep() {
  [[ -s $SECRETS/$1 ]] && return
  printf '%s\n' "$2" >"$SECRETS/.new"
  chmod 444 "$SECRETS/.new"
  mv "$SECRETS/.new" "$SECRETS/$1"
  say "made $SECRETS/$1"
}

pin() {
  local name image digest
  : >"$IMAGES.new"
  while IFS='=' read -r name image; do
    [[ $name == *_IMAGE ]] || continue
    digest=$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$image") || fail "the registry does not know $image."
    [[ $digest == sha256:* ]] || fail "the registry gives no digest of $image."
    say "$name=$image@$digest" | tee -a "$IMAGES.new"
  done <deploy/images.tags
  mv "$IMAGES.new" "$IMAGES"
}

# --- The steps of a deploy: each line says itself that it ends its step, as `set -e` does not hold where somebody asks how it went ----

build() {
  step='building'
  local python debian
  python=$(sed -n 's/^PYTHON_IMAGE=//p' "$IMAGES") debian=$(sed -n 's/^DEBIAN_IMAGE=//p' "$IMAGES")
  local target name
  for target in app pooler smoke stand-in; do
    name=comanda-$target:$release
    case $target in
      app) name=comanda:$release ;;
      pooler) name=comanda-pooler:$pooler; ! docker image inspect "$name" >/dev/null 2>&1 || continue ;;
      stand-in) [[ $(setting MORE_SITES) == stand-in ]] || continue ;;
    esac
    run docker build --file deploy/Dockerfile --target "$target" --tag "$name" --build-arg "RELEASE=$release" \
      --build-arg "PYTHON_IMAGE=$python" --build-arg "DEBIAN_IMAGE=$debian" . || return
  done
}

# With the code that runs now, which knows its own schema.
back_up() {
  local before=$1 new=$release
  step='backing up'
  if [[ -z $before ]]; then say "Nothing runs yet: there is nothing to back up."; return; fi
  if [[ $backup != yes ]]; then say "No backup, as was asked."; return; fi
  release=$before
  run compose exec -T worker-long python manage.py backup --all || return
  run compose exec -T archive python manage.py archive_base || return
  release=$new
}

migrate() {
  step='migrating'
  local canary
  canary=$(setting CANARY)
  canary=${canary:-$(setting SMOKE_CAFETERIA)}
  run compose up --detach --wait --no-recreate postgres pgbouncer cache s3 || return
  note schema "$release"
  if [[ -n $canary && -n $1 ]]; then
    run compose run --rm --no-deps migrate python manage.py migrate_fleet --canary "$canary" || return
  else
    run compose run --rm --no-deps migrate python manage.py migrate_fleet || return
  fi
  # Of former releases they stay: a page from before the deploy asks for its own.
  run compose run --rm --no-deps migrate sh -c 'mkdir -p /srv/kept/static && cp -Rn /srv/static/. /srv/kept/static/' || return
}

roll() {
  local service
  for service in "${WEB[@]}"; do
    step="rolling $service"
    run compose up --detach --no-deps --wait --wait-timeout "$HEALTH_SECONDS" "$service" || return
  done
  step='rolling the workers'
  run compose up --detach --no-deps "${REST[@]}" || return
  rolled=$SECONDS
  step='the proxy and the rest'
  run compose up --detach --no-deps pgbouncer cache s3 proxy || return
  if [[ $(setting MORE_SITES) == stand-in ]]; then run compose --profile stand-in up --detach --no-deps mercadopago || return; fi
  run compose exec -T proxy caddy reload --config /etc/caddy/Caddyfile --adapter caddyfile --address unix//run/caddy/admin.sock || return
}

look() {
  step='the health check'
  local url began
  url=$(setting PUBLIC_URL)
  began=$(starts) || return
  run curl --fail --silent --show-error --max-time 10 --retry 20 --retry-delay 3 --retry-all-errors --output /dev/null "$url/health" || return
  step='the smoke tests'
  run compose run --rm --no-deps migrate python manage.py open_smoke_cafeteria "$(setting SMOKE_CAFETERIA)" || return
  run compose run --rm --no-deps smoke || return
  # The smoke tests ask the web servers alone. Of the rest: that nothing was started again since.
  step='the workers'
  [[ -n $dry ]] || ((SECONDS - rolled >= STEADY_SECONDS)) || sleep "$((STEADY_SECONDS - SECONDS + rolled))"
  [[ $(starts) == "$began" ]] || { say "A worker or the archive does not stay up."; return 1; }
}

starts() {
  local said containers
  [[ -z $dry ]] || return 0
  said=$(compose ps --all --quiet "${REST[@]}") || return
  mapfile -t containers <<<"$said"
  docker inspect --format '{{.Name}} {{.State.StartedAt}}' "${containers[@]}"
}

# Their settings are this checkout's: of what is mounted nothing notices a change by itself. Nobody's order waits for them.
watch_over() {
  step='the watching'
  run compose up --detach --no-deps --wait --wait-timeout "$HEALTH_SECONDS" "${WATCHING[@]}" || return
  run compose kill --signal HUP prometheus || return
  run compose restart alertmanager grafana || return
}

# Images of releases that nobody goes back to. What is in use stays, whatever is asked.
tidy() {
  local image wanted
  wanted=" $release $(noted before) $pooler "
  while read -r image; do
    [[ $wanted == *" ${image##*:} "* ]] || run docker image rm "$image" || true
  done < <(docker image ls --format '{{.Repository}}:{{.Tag}}' --filter reference=comanda --filter 'reference=comanda-*')
}

# Whole or not at all, so that a killed deploy leaves the name of one release there.
note() {
  [[ -z $dry ]] || return 0
  printf '%s\n' "$2" >"$STATE/.new"
  mv "$STATE/.new" "$STATE/$1"
}
noted() { cat "$STATE/$1" 2>/dev/null || true; }
forget() { [[ -n $dry ]] || rm -f "$STATE/$1"; }

record() {
  local outcome=$1 before=$2 line
  line=$(printf '{"at": "%s", "release": "%s", "before": "%s", "outcome": "%s", "step": "%s", "seconds": %d}' \
    "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$release" "$before" "$outcome" "$step" "$((SECONDS - started))")
  if [[ -n $dry ]]; then say "would note: $line"; return; fi
  say "$line" >>"$STATE/deploys.log"
  compose run --rm --no-deps migrate python manage.py record_deploy --release "$release" --before "$before" --outcome "$outcome" \
    --seconds "$((SECONDS - started))" || say "The deploy could not be noted in the database; it is in $STATE/deploys.log."
}

# The schema stays as it is: the code before runs on it as well (expand, then contract in a later release).
roll_back() {
  local before=$1 ill=$release failed=$step
  if [[ -z $before ]]; then
    record failed ""
    fail "$ill failed at $failed, and there is no release before it. Look at: deploy/staging.sh compose logs"
  fi
  if [[ $before == "$ill" ]]; then
    record failed "$before"
    fail "$ill serves already and failed at $failed: there is nothing to take back. deploy/staging.sh rollback goes to the release before it."
  fi
  say "$ill is ill at $failed: back to $before."
  release=$before
  if roll; then
    step=$failed release=$ill
    forget next
    record rolled_back "$before"
    fail "$ill failed at $failed and was taken back; $before serves. Its lines: deploy/staging.sh compose logs --since 10m"
  fi
  step=$failed release=$ill
  record failed "$before"
  fail "$ill failed at $failed, and $before does not come up either. See docs/staging.md, \"When a deploy does not go back\"."
}

deploy() {
  local before
  check
  before=$(noted current)
  [[ $before != "$release" ]] || say "$release runs already: everything is looked at again."
  say "Deploying $release${before:+ over $before}"
  build || fail "$release cannot be built. Nothing was changed."
  back_up "$before" || fail "the backup failed: see above. Nothing was changed. --without-backup goes on without one."
  migrate "$before" || { record failed "$before"; fail "the migration failed: ${before:-nothing} goes on serving. See manage.py fleet_status."; }
  note next "$release"
  roll || roll_back "$before"
  look || roll_back "$before"
  step='the end'
  [[ -z $before || $before == "$release" ]] || note before "$before"
  note current "$release"
  forget next
  record deployed "$before"
  watch_over || fail "$release serves, and nobody watches over it: $step failed. See deploy/staging.sh compose ps"
  tidy
  say "$release serves."
}

go_back() {
  local now target schema
  now=$(noted current) target=$(noted before)
  # A deploy was killed on its way: what it was to replace, which is the one before the schema's.
  [[ -z $(noted next) || $(noted next) == "$target" ]] || target=$now
  [[ -n $target ]] || fail "no release before is known."
  schema=$(noted schema)
  if [[ -n $schema && $target != "$now" && $schema != "$now" && $schema != "$target" ]]; then
    fail "the schema is that of $schema, and $target is two releases behind it. Mend and deploy, or say deploy --release $target."
  fi
  release=$target backup=no
  check
  note next "$release"
  roll || { record failed "$now"; fail "$release does not come up."; }
  look || { record failed "$now"; fail "$release came up, and failed at $step."; }
  [[ $target == "$now" ]] || note before "$now"
  note current "$release"
  forget next
  record rolled_back_by_hand "$now"
  say "$release serves."
}

# --- What was asked -----------------------------------------------------------------------------------------------------------------

main() {
  local what=deploy
  pooler=$(pooler_tag)
  while (($#)); do
    case $1 in
      --dry-run) dry=yes ;;
      --without-backup) backup=no ;;
      --release) release=${2:?--release needs a name}; shift ;;
      --help | -h) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; return ;;
      compose) shift; of_what_runs "$@"; return ;;
      deploy | check | secrets | pin | rollback | status) what=$1 ;;
      *) fail "there is no $1. See deploy/staging.sh --help." ;;
    esac
    shift
  done
  # A commit's name; for a checkout without git, and for what needs none, the day.
  release=${release:-$(git describe --always --dirty --abbrev=12 2>/dev/null || date -u +%Y%m%d)}
  [[ $release =~ ^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$ ]] || fail "the release \"$release\" is no name for an image."
  mkdir -p "$STATE"
  case $what in
    check) check; return ;;
    status) show_status; return ;;
  esac
  exec 9>"$STATE/lock"
  flock --nonblock 9 || fail "another deploy is at work. Wait for it."
  case $what in
    secrets) make_secrets ;;
    pin) pin ;;
    deploy) deploy ;;
    rollback) go_back ;;
  esac
}

show_status() {
  local current next
  current=$(noted current) next=$(noted next)
  say "release: ${current:-none}${next:+; on the way to $next, or killed there: run the deploy again, or rollback}"
  tail -n 10 "$STATE/deploys.log" 2>/dev/null || true
  of_what_runs ps
}

of_what_runs() {
  release=$(noted current)
  compose "$@"
}

main "$@"
