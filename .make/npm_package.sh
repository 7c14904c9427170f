#!/bin/sh
# Install a package of npm into a folder. A machine without the tools is no error: a sentence says
# what cannot be done there, and the folder is not marked as ready.
#
# usage: npm_package.sh FOLDER PACKAGE@VERSION "TOOLS THAT IT NEEDS" "WHAT CANNOT BE DONE WITHOUT THEM"
set -eu
folder=$1 package=$2 tools=$3 without=$4
for tool in $tools; do
    if ! command -v "$tool" >/dev/null; then
        echo "$tool is not installed: $without"
        exit 0
    fi
done
npm install --prefix "$folder" --ignore-scripts --no-audit --no-fund --silent "$package"
touch "$folder/.ready"
