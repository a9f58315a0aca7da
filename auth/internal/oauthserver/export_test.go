package oauthserver

// HashCheaply makes tests of many tokens fast. Those of package auth hash at full cost.
func (s *Server) HashCheaply() { s.cost = 16 }
