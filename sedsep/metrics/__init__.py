"""The task's metrics: `registry` names and explains them, `rows` sums them over mixtures, `sed` scores detections."""
