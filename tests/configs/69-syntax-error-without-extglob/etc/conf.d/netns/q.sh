shopt -s extglob
