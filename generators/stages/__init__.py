"""The stages that make something: storylines, questions, haystacks, candidates."""
