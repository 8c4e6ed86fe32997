package si

// Refusal and Refused are refusal and refused.
var (
	Refusal = refusal
	Refused = refused
)
