#!/bin/sh
# Runs the agent's command line that it is given, with an nginx between it and the relay of its --relay: one with its
# defaults, which takes a WebSocket's upgrade away. It becomes the agent, so that signals and exit codes are the agent's;
# nginx ends with it. UNDERPASS_TEST_NGINX: the nginx.
relay=
expects=
for argument in "$@"; do
  if [ -n "$expects" ]; then relay=$argument; fi
  expects=
  if [ "$argument" = --relay ]; then expects=yes; fi
done
if [ -z "$relay" ]; then exec "$@"; fi

folder=$(mktemp -d "${TMPDIR:-/tmp}/underpass-nginx-XXXXXX")
user=
if [ "$(id -u)" = 0 ]; then user="user root;"; fi
# Below the ports that systems give to sockets that dial; nginx ends where its own is taken.
port=$((10000 + $$ % 20000))
tries=0
while [ ! -s "$folder/pid" ] && [ $tries -lt 20 ]; do
  tries=$((tries + 1))
  port=$((port + 1))
  cat >"$folder/nginx.conf" <<CONFIGURATION
daemon off; master_process off; pid $folder/pid; error_log $folder/log notice; $user
events { worker_connections 4096; }
http {
  client_body_temp_path $folder/body; proxy_temp_path $folder/proxy; fastcgi_temp_path $folder/fastcgi;
  uwsgi_temp_path $folder/uwsgi; scgi_temp_path $folder/scgi; access_log off;
  server { listen 127.0.0.1:$port backlog=4096; location / { proxy_pass $relay; } }
}
CONFIGURATION
  "$UNDERPASS_TEST_NGINX" -p "$folder" -e "$folder/log" -c "$folder/nginx.conf" </dev/null >/dev/null 2>&1 &
  nginx=$!
  while [ ! -s "$folder/pid" ] && kill -0 $nginx 2>/dev/null; do sleep 0.02; done
done

agent=$$
(
  while kill -0 $agent 2>/dev/null; do sleep 0.3; done
  kill $nginx
  wait $nginx
  rm -rf "$folder"
) </dev/null >/dev/null 2>&1 &

# The same words, with nginx for the relay.
count=$#
while [ $count -gt 0 ]; do
  argument=$1
  shift
  count=$((count - 1))
  if [ "$argument" = "$relay" ]; then argument=http://127.0.0.1:$port; fi
  set -- "$@" "$argument"
done
exec "$@"
