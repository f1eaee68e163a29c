# Airflow with what the transition needs. Every service of docker-compose.yaml runs this image.
FROM apache/airflow:3.3.2-python3.12 AS packages
USER root
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc pkg-config libmariadb-dev libc6-dev \
 && rm -rf /var/lib/apt/lists/*
USER airflow
COPY requirements-deploy.txt /tmp/requirements.txt
# mysqlclient is compiled here; only the wheels go into the image below.
RUN pip wheel --no-cache-dir --require-hashes --wheel-dir /tmp/wheels -r /tmp/requirements.txt

FROM apache/airflow:3.3.2-python3.12
USER root
RUN apt-get update \
 && apt-get install -y --no-install-recommends libmariadb3 \
 && rm -rf /var/lib/apt/lists/* \
 && install -d -o airflow -g root -m 0770 /var/lib/transition
USER airflow
RUN --mount=type=bind,from=packages,source=/tmp/wheels,target=/tmp/wheels \
    pip install --no-cache-dir --no-index --no-deps /tmp/wheels/*.whl
COPY --chown=airflow:root dags /opt/airflow/dags
COPY --chown=airflow:root plugins /opt/airflow/plugins
COPY --chown=airflow:root include /opt/airflow/include
ENV PYTHONPATH=/opt/airflow/plugins \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    AIRFLOW__USAGE_DATA_COLLECTION__ENABLED=False
