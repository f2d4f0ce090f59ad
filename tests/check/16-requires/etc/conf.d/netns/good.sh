configure_good_up_inside() { :; }
