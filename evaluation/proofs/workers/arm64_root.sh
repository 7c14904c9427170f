#!/bin/sh
# Makes FOLDER with an aarch64 Python and LiteRT that run under qemu-user: FOLDER/python.
#   arm64_root.sh FOLDER PIP LITERT NUMPY
# PIP is a pip command, LITERT and NUMPY are versions. Debian's packages are fetched for arm64
# with apt state of its own, so the system's list of architectures stays as it is; needs
# qemu-aarch64 (apt-get install qemu-user), apt-get and dpkg-deb.
set -eu
folder=$1 pip=$2 litert=$3 numpy=$4
command -v qemu-aarch64 >/dev/null || { echo "install qemu-user" >&2; exit 1; }
mkdir -p "$folder/apt/lists/partial" "$folder/apt/cache/archives/partial" "$folder/debs"
folder=$(cd "$folder" && pwd)
: > "$folder/apt/status"
apt() {
  (cd "$folder/debs" && apt-get --quiet -o APT::Architecture=arm64 -o APT::Architectures=arm64 \
    -o Dir::State="$folder/apt" -o Dir::State::status="$folder/apt/status" \
    -o Dir::State::lists="$folder/apt/lists" -o Dir::Cache="$folder/apt/cache" \
    -o APT::Sandbox::User=root "$@" >/dev/null)
}
apt update
apt download python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libc6 zlib1g libexpat1 \
  libffi8 libbz2-1.0 liblzma5 libstdc++6 libgcc-s1 libgomp1
rm -rf "$folder/root"
for package in "$folder"/debs/*.deb; do dpkg-deb --extract "$package" "$folder/root"; done
packages="$folder/root/usr/lib/python3/dist-packages"
mkdir -p "$packages"
$pip install --quiet --no-deps --target "$packages" --python-version 3.11 --only-binary :all: \
  --platform manylinux2014_aarch64 --platform manylinux_2_27_aarch64 \
  --platform manylinux_2_28_aarch64 "ai-edge-litert==$litert" "numpy==$numpy"
cat > "$folder/python" <<WRAPPER
#!/bin/sh
exec qemu-aarch64 -L "$folder/root" "$folder/root/usr/bin/python3.11" "\$@"
WRAPPER
chmod +x "$folder/python"
"$folder/python" -I -c "import platform, ai_edge_litert, numpy; assert platform.machine() == 'aarch64'"
