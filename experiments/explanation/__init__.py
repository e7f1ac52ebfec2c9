"""The papers about saliency methods: enhanced guided backpropagation, similarity of maps, recovery of attacks."""
