"""What scores are worth and what they cost: AUC, RBDC and TBDC, speed, complexity."""
