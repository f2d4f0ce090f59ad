configure_circle_up_inside() { :; }
