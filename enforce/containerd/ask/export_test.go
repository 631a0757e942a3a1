package ask

// Trusted reports whether a user's word counts for another.
var Trusted = trusted
