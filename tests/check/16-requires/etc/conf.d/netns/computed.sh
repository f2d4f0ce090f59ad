configure_computed_up_inside() { :; }
