# A missing fi.
echo sourced so far
if [ -n "$NSNAME" ]; then
    B=1
configure_s_up_outside() { echo called; }
