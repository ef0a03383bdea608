#!/bin/sh
# Alertmanager with the receivers that the secrets give: start.sh PROGRAM OPTIONS..., or start.sh print, which shows the settings, secrets
# and all, and fails when a channel is set up wrongly. In the container a wrong channel is said and left out: the other one still tells.
# Slack by slack_webhook_url; mail by email_url, as the product reads it, to OPS_EMAILS; the heartbeat to heartbeat_url. Each may be empty.
set -eu

secrets=${SECRETS_FOLDER:-/run/secrets}
here=$(dirname "$0")
settings=${SETTINGS_FILE:-/tmp/alertmanager.yml}
wrong=''

secret() { if [ -s "$secrets/$1" ]; then tr -d '\r\n' <"$secrets/$1"; fi; }
problem() { printf 'alertmanager: %s\n' "$1" >&2; wrong=yes; }
# For YAML, between single quotes.
quoted() { printf '%s' "$1" | sed "s/'/''/g"; }
# %40 is @.
decoded() {
  printf '%s' "$1" | awk '{
    out = ""
    for (i = 1; i <= length($0); i++) {
      c = substr($0, i, 1)
      hex = tolower(substr($0, i + 1, 2))
      if (c == "%" && hex ~ /^[0-9a-f][0-9a-f]$/) {
        c = sprintf("%c", (index("0123456789abcdef", substr(hex, 1, 1)) - 1) * 16 + index("0123456789abcdef", substr(hex, 2, 1)) - 1)
        i += 2
      }
      out = out c
    }
    printf "%s", out
  }'
}

slack() {
  address=$(secret slack_webhook_url)
  [ -n "$address" ] || return 0
  cat <<EOF
    slack_configs:
      - api_url: '$(quoted "$address")'
        send_resolved: true
        title: '{{ template "comanda.subject" . }}'
        text: '{{ template "comanda.text" . }}'
EOF
}

mail() {
  address=$(secret email_url)
  [ -n "$address" ] && [ -n "${OPS_EMAILS:-}" ] || return 0
  scheme=${address%%://*} place=${address#*://} user='' password=''
  place=${place%/}
  case $place in *@*) user=${place%@*} place=${place##*@} ;; esac
  case $user in *:*) password=$(decoded "${user#*:}") user=${user%%:*} ;; esac
  user=$(decoded "$user")
  case $scheme in
    smtp) port=587 tls=true ;;
    smtps) port=465 tls=false ;;
    smtp+plain) port=25 tls=false ;;
    *) problem "email_url begins with none of smtp://, smtps:// and smtp+plain://. No mail is sent."; return 0 ;;
  esac
  case $place in *:*) port=${place##*:} ;; esac
  if [ "$scheme" = smtps ] && [ "$port" != 465 ]; then
    problem "Alertmanager speaks TLS from the start on port 465 alone, and email_url says $port. No mail is sent: take smtp:// there."
    return 0
  fi
  cat <<EOF
    email_configs:
      - to: '$(quoted "$OPS_EMAILS")'
        from: '$(quoted "${MAIL_FROM:-Comanda <no-reply@${BASE_DOMAIN:-localhost}>}")'
        smarthost: '$(quoted "${place%%:*}:$port")'
        hello: '$(quoted "${BASE_DOMAIN:-localhost}")'
        auth_username: '$(quoted "$user")'
        auth_password: '$(quoted "$password")'
        require_tls: $tls
        send_resolved: true
        headers: {Subject: '{{ template "comanda.subject" . }}'}
        html: ''
        text: '{{ template "comanda.text" . }}'
EOF
}

heartbeat() {
  address=$(secret heartbeat_url)
  [ -n "$address" ] || return 0
  cat <<EOF
    webhook_configs:
      - url: '$(quoted "$address")'
        send_resolved: false
EOF
}

written() {
  sed "s#/etc/alertmanager/#$here/#" "$here/alertmanager.yml"
  printf '\nreceivers:\n  - name: operators\n'
  slack
  mail
  printf '  - name: heartbeat\n'
  heartbeat
}

if [ "${1:-}" = print ]; then
  written
  [ -z "$wrong" ]
else
  umask 077
  written >"$settings"
  exec "$@" "--config.file=$settings"
fi
