configure_bad_up_inside() { :; }
