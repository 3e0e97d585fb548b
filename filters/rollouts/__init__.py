"""What a student's rollouts measure: pass rates, necessity, density, agreement."""
